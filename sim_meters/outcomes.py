"""What the STS checks say, in the words of the Token gateway: status code and ``data_value``.

guess: which status code a result belongs to follows from the names of both; no public text states it. Lock-out and
not-ready have no row: the token was not looked at, so the gateway object has nothing to show.
"""

from __future__ import annotations

from cosem_objects.token_gateway import DataValueMap, StatusCode, StsResult, TokenStatus, onehot16
from sim_meters.sts.results import SECTION_RESULTS, TokenResult

_OUTCOMES: dict[TokenResult, tuple[StatusCode, StsResult | None]] = {
    TokenResult.ACCEPT: (StatusCode.EXECUTION_OK, None),
    # A section of a key-change set that is stored and waits for the rest is a success, too.
    **dict.fromkeys(SECTION_RESULTS, (StatusCode.EXECUTION_OK, None)),
    TokenResult.OVERFLOW_ERROR: (StatusCode.EXECUTION_FAILURE, StsResult.OVERFLOW),
    TokenResult.KEY_TYPE_ERROR: (StatusCode.EXECUTION_FAILURE, StsResult.KEY_TYPE),
    TokenResult.FORMAT_ERROR: (StatusCode.EXECUTION_FAILURE, StsResult.FORMAT),
    TokenResult.RANGE_ERROR: (StatusCode.EXECUTION_FAILURE, StsResult.RANGE),
    TokenResult.FUNCTION_ERROR: (StatusCode.EXECUTION_FAILURE, StsResult.FUNCTION),
    TokenResult.OLD_ERROR: (StatusCode.VALIDATION_FAILURE, StsResult.OLD),
    TokenResult.USED_ERROR: (StatusCode.VALIDATION_FAILURE, StsResult.USED),
    TokenResult.KEY_EXPIRED_ERROR: (StatusCode.VALIDATION_FAILURE, StsResult.KEY_EXPIRED),
    TokenResult.DDTK_ERROR: (StatusCode.VALIDATION_FAILURE, StsResult.DEFAULT_KEY),
    TokenResult.CRC_ERROR: (StatusCode.AUTHENTICATION_FAILURE, StsResult.CRC),
    TokenResult.MFR_CODE_ERROR: (StatusCode.AUTHENTICATION_FAILURE, StsResult.MANUFACTURER_CODE),
}


def token_status(result: TokenResult | None, data_value_map: DataValueMap) -> TokenStatus:
    """The status of a token with this result; ``None`` for octets that were no token at all."""
    code, sts_result = (StatusCode.FORMAT_FAILURE, None) if result is None else _OUTCOMES[result]
    match data_value_map:
        case DataValueMap.ONEHOT16:
            # All zero for octets that are no token: the 16 results are those of the STS checks, which never began.
            return TokenStatus(code, onehot16(sts_result, section=None if result is None else result.section))
        case DataValueMap.ORDINAL8:
            return TokenStatus(code, f"{(result or TokenResult.FORMAT_ERROR).register:08b}")
        case DataValueMap.RAW | DataValueMap.NONE:
            return TokenStatus(code)

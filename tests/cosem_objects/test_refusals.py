"""What a refusing meter says, and what is advised."""

from __future__ import annotations

import pytest

from cosem_objects.dlms.acse import Aare, ApplicationContext, AssociationResult, UserDiagnostic
from cosem_objects.dlms.refusals import AssociationRefused


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (ApplicationContext.LOGICAL_NAME, "we offered none"),
        (ApplicationContext.LOGICAL_NAME_CIPHERED, "we offered it"),
        (None, "check it"),
    ],
)
def test_of_a_context_that_is_not_supported_it_is_said_what_was_offered(
    offered: ApplicationContext | None, words: str
) -> None:
    said = str(_refused(UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED, offered))
    assert "the meter wants ciphering, or none: " in said
    assert words in said


@pytest.mark.parametrize(
    "diagnostic", [UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED, UserDiagnostic.AUTHENTICATION_REQUIRED]
)
def test_every_high_level_mechanism_is_named(diagnostic: UserDiagnostic) -> None:
    said = str(_refused(diagnostic))
    assert "hls-gmac or hls-sha256" in said
    assert "offered" not in str(_refused(diagnostic, ApplicationContext.LOGICAL_NAME))


def _refused(diagnostic: UserDiagnostic, offered: ApplicationContext | None = None) -> AssociationRefused:
    aare = Aare(
        context=ApplicationContext.LOGICAL_NAME,
        result=AssociationResult.REJECTED_PERMANENT,
        diagnostic=diagnostic,
    )
    return AssociationRefused.by(aare, None, offered)

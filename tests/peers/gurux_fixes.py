"""What Gurux.DLMS.Python 1.0.203 leaves out and both of our Gurux scripts need.

* A deciphered APDU's tag is computed and thrown away (`GXDLMSChippering.decryptAesGcm`): a forged or misread
  APDU would pass. `check_tags` computes the tag once more with Gurux' own AES and compares.
* Invocation counters of the other side are never looked at. `check_tags` hands each one to `on_received`.
* It prints two lines for each APDU that it deciphers; silenced on import.
* In a row of HDLC frames it counts the first one only, and takes the third for a stranger (`GXDLMSSettings.checkFrame`
  writes a local variable). `count_rows` counts them all.
"""

import sys

from gurux_dlms import AesGcmParameter, CountType, GXCiphering, GXDLMSChippering
from gurux_dlms._GXAPDU import _GXAPDU
from gurux_dlms.enums import Security
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXDLMSSettings import GXDLMSSettings
from peer_wire import PeerError

sys.modules["gurux_dlms.GXDLMSChippering"].print = lambda *_: None

SECURITY = {"none": 0, "lls": 1, "hls-gmac": 5, "hls-sha256": 6}


PROTECTION = {"both": Security.AUTHENTICATION_ENCRYPTION, "auth": Security.AUTHENTICATION, "enc": Security.ENCRYPTION}


def check_tags(on_received, protection):
    """Let every deciphered APDU be verified; `on_received(system_title, invocation_counter)` may raise, too.

    Anything but the agreed `protection` (`both`, `auth`, `enc`) is refused; an `auth` tag is verified by Gurux.
    """
    original = GXCiphering.decrypt

    def decrypt(settings, parameter, data):
        tag = bytes(data.array()[-12:])
        plain = original(settings, parameter, data)
        if parameter.security == Security.AUTHENTICATION_ENCRYPTION and tag != _tag(parameter, plain):
            raise PeerError("a ciphered APDU with a wrong tag")
        if parameter.security != PROTECTION[protection]:
            raise PeerError(f"security {parameter.security!r} where {protection} was agreed")
        on_received(bytes(parameter.systemTitle), parameter.invocationCounter)
        return plain

    GXCiphering.decrypt = staticmethod(decrypt)


def count_rows():
    """Let the client take rows of I-frames: all but the last without the final bit, N(S) one more each time."""
    original = GXDLMSSettings.checkFrame

    def check_frame(settings, frame, xml):
        last, is_information = settings.receiverFrame, not frame & 1
        if not (is_information and getattr(settings, "is_in_a_row", False)):
            is_taken = original(settings, frame, xml)
        else:
            is_taken = frame & ~0x10 == last & 0xE0 | (last + 2) & 0x0E
            if is_taken:
                settings.receiverFrame = frame
                settings.senderFrame = (settings.senderFrame + 0x20) & 0xFF  # N(R) of what is sent next
        settings.is_in_a_row = is_taken and is_information and not frame & 0x10
        return is_taken

    GXDLMSSettings.checkFrame = check_frame


def _tag(received, plain):
    keys = (received.systemTitle, received.blockCipherKey, received.authenticationKey)
    parameter = AesGcmParameter(0, *keys)
    parameter.security = received.security
    parameter.securitySuite = received.securitySuite
    parameter.invocationCounter = received.invocationCounter
    parameter.type_ = CountType.TAG
    GXDLMSChippering.encryptAesGcm(parameter, plain)
    return bytes(parameter.countTag)


def conformance_octets(conformance):
    """The conformance block as on the wire, in hex (Gurux keeps its bits in reverse)."""
    block = GXByteBuffer()
    _GXAPDU.setConformanceToArray(conformance, block)
    return bytes(block.array()).hex()

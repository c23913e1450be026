"""What deciphering brings to light in a trace: no more than would be shown in clear."""

from __future__ import annotations

import json

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.apdu import ActionRequest, ActionResponse, GetRequest, GetResponse
from cosem_objects.dlms.describe import Keys
from cosem_objects.dlms.masking import Masker, TraceDescriber
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.token_gateway import TokenEncoding
from tests.cosem_objects.conversation import AK, CLIENT_TITLE, EK, GENERAL, METER_TITLE, SECURE, Conversation
from tests.cosem_objects.secret_conversations import ENTER, TOKEN, TOKENS, remains


@pytest.mark.parametrize("protected", [SECURE, GENERAL], ids=["service", "general"])
@pytest.mark.parametrize("form", TokenEncoding)
def test_what_is_deciphered_shows_no_secret(protected: SecuritySettings, form: TokenEncoding) -> None:
    conversation = Conversation(protected)
    conversation.associate()
    for token in TOKENS:
        text = axdr.visible_string(form.to_octets(token).decode("latin-1"))
        conversation.ask(ActionRequest(ENTER, text), ActionResponse(0, text))
        conversation.ask(GetRequest(TOKEN), GetResponse(text))
    masker, describer = Masker(), TraceDescriber(Keys(EK, AK, b"", CLIENT_TITLE, METER_TITLE))
    told = ""
    for client_said, meter_said in zip(conversation.sent, conversation.answered, strict=True):
        for apdu, sender in ((client_said, "client"), (meter_said, "server")):
            node = describer.describe(apdu, masker.mask(apdu), sender)
            assert node is not None
            assert not list(node.problems())
            told += node.to_text() + json.dumps(node.to_json())
    assert not remains(told.encode())
    assert "get-response-normal" in told

"""Names for people: the standard's, or the bare number where there is none."""

from __future__ import annotations

import re

import pytest

from cosem_objects.interface_classes import (
    INTERFACE_CLASSES,
    describe_attribute,
    describe_class,
    describe_method,
    enum_words,
)


@pytest.mark.parametrize(
    ("class_id", "attribute", "words"),
    [
        (1, 2, "Data, value"),
        (3, 3, "Register, scaler_unit"),
        (7, 8, "Profile generic, profile_entries"),
        (8, 9, "Clock, clock_base"),
        (15, 9, "Association LN, security_setup_reference"),
        (15, 11, "Association LN, current_user"),
        (40, 7, "Push setup, repetition_delay"),
        (64, 5, "Security setup, server_system_title"),
        (70, 3, "Disconnect control, control_state"),
        (71, 11, "Limiter, actions"),
        (111, 2, "Account, account_mode_and_status"),
        (111, 13, "Account, account_activation_time"),
        (111, 19, "Account, max_provision_period"),
        (112, 3, "Credit, credit_type"),
        (113, 13, "Charge, proportion"),
        (115, 6, "Token gateway, token_status"),
        (116, 12, "IEC 62055-41 attributes, sts_certificate_no"),
        (115, 1, "Token gateway, logical_name"),
        (115, 0, "Token gateway, all attributes"),
        (115, 7, "Token gateway, attribute 7"),
        (115, -1, "Token gateway, attribute -1"),
        (67, 2, "Sensor manager, attribute 2"),
        (9999, 1, "class 9999, logical_name"),
        (9999, 2, "class 9999, attribute 2"),
    ],
)
def test_an_attribute(class_id: int, attribute: int, words: str) -> None:
    assert describe_attribute(class_id, attribute) == words


@pytest.mark.parametrize(
    ("class_id", "method", "words"),
    [
        (3, 1, "Register, reset"),
        (15, 1, "Association LN, reply_to_hls_authentication"),
        (40, 1, "Push setup, push"),
        (64, 2, "Security setup, key_transfer"),
        (70, 2, "Disconnect control, remote_reconnect"),
        (113, 3, "Charge, collect"),
        (115, 1, "Token gateway, enter"),
        (115, 2, "Token gateway, method 2"),
        (116, 1, "IEC 62055-41 attributes, method 1"),
        (9999, 1, "class 9999, method 1"),
    ],
)
def test_a_method(class_id: int, method: int, words: str) -> None:
    assert describe_method(class_id, method) == words


@pytest.mark.parametrize(
    ("class_id", "attribute", "path", "value", "words"),
    [
        (115, 6, (0,), 3, "execution-ok (3)"),
        (115, 6, (), 5, "authentication-failure (5)"),
        (115, 6, (0,), 9, "unknown (9)"),
        (115, 5, (), 0, "remote (0)"),
        (70, 3, (), 2, "ready-for-reconnection (2)"),
        (111, 2, (0,), 2, "prepayment (2)"),
        (111, 2, (1,), 2, "active (2)"),
        (111, 15, (2,), 1, "consumption (1)"),
        (112, 3, (), 0, "token-credit (0)"),
        (112, 8, (), 3, "in-use (3)"),
        (113, 3, (), 2, "payment-event-based (2)"),
        (15, 8, (), 2, "associated (2)"),
        (40, 3, (0,), 0, "tcp (0)"),
        (3, 3, (1,), 30, "watt-hour (30)"),
        (3, 3, (0,), 30, None),
        (115, 2, (), 3, None),
        (9999, 2, (), 3, None),
    ],
)
def test_a_value_of_a_list(class_id: int, attribute: int, path: tuple[int, ...], value: int, words: str | None) -> None:
    assert enum_words(class_id, attribute, path, value) == words


def test_names_are_spelled_and_numbered_like_the_standards() -> None:
    for class_id, names in INTERFACE_CLASSES.items():
        assert describe_class(class_id) == names.name != ""
        assert names.attributes[1] == "logical_name"
        for numbered in (names.attributes, names.methods):
            assert list(numbered) == list(range(1, len(numbered) + 1)), names.name
            assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in numbered.values()), names.name
            assert len(set(numbered.values())) == len(numbered), names.name
    assert len({names.name for names in INTERFACE_CLASSES.values()}) == len(INTERFACE_CLASSES)
    assert describe_class(9999) == "class 9999"

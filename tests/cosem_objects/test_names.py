"""How numbers of the standard are shown."""

from __future__ import annotations

from cosem_objects.dlms.acse import UserDiagnostic
from cosem_objects.names import spell


def test_a_number_that_the_standard_knows_is_shown_with_its_name() -> None:
    assert spell(UserDiagnostic, 13) == "authentication-failure (13)"


def test_a_number_that_it_does_not_know_is_still_shown() -> None:
    assert spell(UserDiagnostic, 77) == "unknown (77)"

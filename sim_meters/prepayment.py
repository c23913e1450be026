"""The prepayment half of a meter: tokens in, money and switch out. It has never heard of a wire.

A token entered by a client may be worked on later (``status_delay_seconds``). Until then it stands in memory only:
the Token gateway shows it as *received*, but nothing is booked. A meter that loses power in between comes back as if
it had never seen the token, and shows the one before; the client enters it again, and it works once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.errors import TokenFormatError
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import DeliveryMethod, StatusCode, TokenStatus
from sim_meters.behaviour import Behaviour
from sim_meters.clock import Clock
from sim_meters.displays import display
from sim_meters.emergency import repaid_of
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault, Phase
from sim_meters.ledger import Ledger, LedgerError
from sim_meters.meter_config import MeterConfig
from sim_meters.meter_keys import MeterCounters, MeterKeys
from sim_meters.outcomes import token_status
from sim_meters.records import EmergencyTaken, StateRecord, Switched, Tampered, TokenEntry, as_kept, token_digest
from sim_meters.state import after, new_state
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken
from sim_meters.sts.tokens.token_table import CLEAR_CREDIT

_log = logging.getLogger(__name__)

_HUNDREDTH = timedelta(milliseconds=10)
_TWENTY_DIGITS = 12345_67890_12345_67890


@dataclass(frozen=True, slots=True)
class Pending:
    """A token that was received and waits for its turn."""

    received: TokenEntry
    due: datetime


class PrepaymentMeter:
    """Token machine, account, load switch and their ledger."""

    def __init__(
        self,
        config: MeterConfig,
        ledger: Ledger,
        clock: Clock,
        behaviour: Behaviour,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.clock = clock
        """Of this meter. A fault may put a wrong one in its place."""
        self.behaviour = behaviour
        self.pending: Pending | None = None
        self.locked_until: datetime | None = None
        """Until then no token is looked at."""
        self.state = new_state(config)
        try:
            for record in ledger.records:
                self.state = after(self.state, record, config.control_mode)
        except ValueError as error:
            raise LedgerError(f"the ledger of {config.device_name} cannot be true: {error}") from None
        self.state = replace(self.state, machine=self.state.machine.powered_up())
        self.keys = MeterKeys(config.security, config.master_key, ledger)

    def now(self) -> datetime:
        """The time as this meter has it, aware."""
        return self.clock.now()

    # Tokens.

    def enter(self, octets: bytes) -> ActionResult:
        """A client enters a token: method 1 of the Token gateway. Raises ``LedgerError`` if it cannot be booked."""
        self.catch_up()
        if lock_out := self._strikes(Fault.LOCK_OUT):
            self.locked_until = self.now() + timedelta(seconds=lock_out.amount)
        if self._strikes(Fault.KEYPAD_SAME_TOKEN):
            self._key_in_same(octets)
        delivery = DeliveryMethod(self.config.profile.remote_delivery_methods[0])
        # A model that shows remote entries as manual is locked with its keypad: its ledger cannot tell them apart.
        is_keypad = delivery is DeliveryMethod.MANUAL
        if self.pending is not None or self._is_locked(self._token_of(octets), is_keypad=is_keypad):
            return ActionResult.TEMPORARY_FAILURE  # not ready: the last one is still in work
        is_shown = self._strikes(Fault.STALE_STATUS) is None
        stuck = self._strikes(Fault.STUCK_PENDING)
        received = TokenEntry(self._time_of_entry(), delivery, octets, _RECEIVED, shown=is_shown)
        delay_seconds = self.config.status_delay_seconds if stuck is None else stuck.amount
        if delay_seconds:
            self.pending = Pending(received, self.now() + timedelta(seconds=delay_seconds))
        else:
            self._work_on(received)
        return ActionResult.SUCCESS

    def key_in(self, typed: Token | str) -> TokenResult:
        """A customer types digits into the keypad, and reads the result on the display at once. Digits that are no
        token are a wrong entry; they are not kept, as most of a token may be among them."""
        self.catch_up()
        token = _token_in(typed) if isinstance(typed, str) else typed
        if self._is_locked(token, is_keypad=True):
            return TokenResult.LOCKOUT
        if self.pending is not None:
            return TokenResult.NOT_READY
        octets = b"" if token is None else self.config.profile.token_encoding.to_octets(token)
        entry = self._work_on(TokenEntry(self._time_of_entry(), DeliveryMethod.MANUAL, octets, _RECEIVED))
        return TokenResult.FORMAT_ERROR if entry.result is None else entry.result

    def mistype(self) -> TokenResult:
        """A customer types the token that was entered last with its last digit wrong, or just twenty digits."""
        last = None if self.state.last is None else self._token_of(self.state.last.octets)
        return self.key_in(Token((_TWENTY_DIGITS if last is None else last.number) ^ 1))

    def catch_up(self) -> None:
        """Work on a pending token whose time has come."""
        if self.pending is not None and self.now() >= self.pending.due:
            pending, self.pending = self.pending, None
            self._work_on(pending.received)

    @property
    def shown(self) -> TokenEntry | None:
        """What attributes 2 to 6 of the Token gateway show: the last token, or ``None`` before the first."""
        if self.pending is not None and self.pending.received.shown:
            return self.pending.received
        return self.state.shown

    @property
    def debt_units(self) -> int:
        """What the customer still owes, in token units."""
        debt = self.config.debt
        return 0 if debt is None else debt.remaining(self.state.collected_units)

    # Switch and counters.

    def forget(self) -> None:
        """What stood in memory only is gone: the meter was without power."""
        self.pending = self.locked_until = None
        self.state = replace(self.state, machine=self.state.machine.powered_up())

    @property
    def counters(self) -> MeterCounters:
        """Of the present unicast encryption key."""
        return self.keys.counters

    def order_switch(self, *, connect: bool) -> None:
        """A client opens or closes the load switch. Raises ``LedgerError``."""
        self._book(Switched(connect))

    def take_emergency_credit(self) -> bool:
        """The customer takes emergency credit; false if there is none to take now. Raises ``LedgerError``."""
        emergency, state = self.config.emergency, self.state
        if emergency is None or not emergency.can_be_taken(state.balance_units, state.emergency_owed_units):
            return False
        self._book(EmergencyTaken(emergency.preset_units))
        return True

    def open_cover(self) -> None:
        """Somebody tampers with the meter. Raises ``LedgerError``."""
        self._book(Tampered())

    def keep_counters(self) -> None:
        """Write the invocation counters down if they moved: due before anything is answered. Raises ``LedgerError``."""
        self.keys.keep_counters()

    # What goes wrong with a token.

    def _strikes(self, fault: Fault) -> FaultOrder | None:
        return self.behaviour.happens(fault, Phase.ENTER, self.now)

    def _is_locked(self, token: Token | None, *, is_keypad: bool) -> bool:
        if self.locked_until is not None and self.now() < self.locked_until:
            return True
        token_class = None if token is None else token.token_class
        return self.state.machine.is_locked(token_class, self.now(), is_keypad=is_keypad)

    def _key_in_same(self, octets: bytes) -> None:
        token = self._token_of(octets)
        if token is not None:
            self.key_in(token)

    def _token_of(self, octets: bytes) -> Token | None:
        try:
            return self.config.profile.token_encoding.from_octets(octets)
        except TokenFormatError:
            return None

    # How a token is worked on.

    def _time_of_entry(self) -> datetime:
        """The meter's time in whole hundredths, later than that of the token before: two never show the same."""
        now = self.now()
        time = now.replace(microsecond=now.microsecond // 10_000 * 10_000)
        last = self.state.last
        return time if last is None else max(time, last.time + _HUNDREDTH)

    def _work_on(self, received: TokenEntry) -> TokenEntry:
        """All checks of one token, and the one record that is both its booking and what is shown of it."""
        profile = self.config.profile
        try:
            token = profile.token_encoding.from_octets(received.octets)
        except TokenFormatError as error:
            return self._book_entry(replace(received, status=token_status(None, profile.data_value_map)), str(error))
        is_keypad = received.delivery is DeliveryMethod.MANUAL
        execution = self.state.machine.execute(token, received.time, self._credit_fits, is_keypad=is_keypad)
        entry = replace(
            received,
            status=token_status(execution.result, profile.data_value_map),
            result=execution.result,
            masked=token.masked,
            digest=token_digest(token),
            token_class=token.token_class,
            sections=execution.numbers,
            management=None if execution.section is None else as_kept(execution.section.upper),
        )
        if execution.token is not None:
            entry = replace(entry, description=execution.token.words)
            entry = self._accepted(entry, execution.token) if entry.is_accepted else entry
        return self._book_entry(entry, execution.reason)

    def _accepted(self, entry: TokenEntry, token: ClearToken) -> TokenEntry:
        """What an accepted token is booked with."""
        if token.kind.token_class is TokenClass.CREDIT:
            repaid, collected = self._kept_of(token.units)
            return replace(entry, tid=token.tid, units=token.units, collected=collected, repaid=repaid)
        if token.kind.token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT:
            return replace(entry, description=display(token, self.config, self.state))
        units = -self.state.credit_register if token.kind is CLEAR_CREDIT else None
        return replace(entry, tid=token.tid, units=units, management=as_kept(token.upper))

    def _credit_fits(self, token: ClearToken) -> bool:
        repaid, collected = self._kept_of(token.units)
        balance_units = self.state.balance_units + token.units - repaid - collected
        register_units = balance_units - (self.state.emergency_owed_units - repaid)
        # Both are shown, and with emergency credit owed the register is the lower one.
        return self.config.unit.fits(balance_units) and self.config.unit.fits(register_units)

    def _kept_of(self, token_units: int) -> tuple[int, int]:
        """What of a token pays emergency credit back, and what of the rest a Charge collects."""
        repaid, debt = repaid_of(token_units, self.state.emergency_owed_units), self.config.debt
        collected = 0 if debt is None else debt.part_of(token_units - repaid, self.state.collected_units)
        return repaid, collected

    def _book(self, record: StateRecord) -> None:
        """Written first; only then is it so."""
        self.ledger.append(record)
        self.state = after(self.state, record, self.config.control_mode)

    def on_settled(self, entry: TokenEntry) -> None:
        """A token was executed or rejected."""

    def _book_entry(self, entry: TokenEntry, reason: str) -> TokenEntry:
        self._book(entry)
        _log.info(
            "%s: token %s (%s): status %d, %s; balance %s, switch %s",
            self.config.device_name,
            entry.masked or "without digits",
            entry.delivery.name.lower(),
            entry.status.code,
            reason,
            self.config.unit.words(self.state.balance_units),
            self.state.switch.state.name.lower().replace("_", " "),
        )
        self.on_settled(entry)
        return entry


def _token_in(digits: str) -> Token | None:
    try:
        return Token.parse(digits)
    except TokenFormatError:
        return None


_RECEIVED = TokenStatus(StatusCode.RECEIVED)

"""What was asked, and how much must be hidden in the answer."""

from __future__ import annotations

from cosem_objects.dlms.masking.places import Cover

_INVOKE_ID = 0x0F
_UNKNOWN = (Cover.STRINGS,)


class Questions:
    """The questions whose answers are still due, by service and invoke-id."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, int], tuple[int, tuple[Cover, ...]]] = {}

    def ask(self, service: str, invoke: int, covers: tuple[Cover, ...]) -> None:
        """With two questions under one invoke-id nobody can tell which of them an answer is for: what has to be
        hidden for one of them is hidden in all answers, until none is due."""
        key = (service, invoke & _INVOKE_ID)
        count, others = self._due.get(key, (0, ()))
        if count:
            covers = (max((*covers, *others), default=Cover.STRINGS),) * max(1, len(covers))
        self._due[key] = (count + 1, covers)

    def covers(self, service: str, invoke: int, count: int) -> tuple[Cover, ...]:
        """For each of the ``count`` values of an answer. The question is forgotten: a second answer is one to
        something unknown."""
        covers = self._take(service, invoke, is_last=True)
        return covers if len(covers) == count else (max(*_UNKNOWN, *covers),) * count

    def cover_of_blocks(self, service: str, invoke: int, *, is_last: bool) -> Cover:
        """For a piece of an answer."""
        return max(self._take(service, invoke, is_last=is_last))

    def forget(self) -> None:
        """A new association: what comes in answer to the one before is an answer to something unknown."""
        self._due.clear()

    def _take(self, service: str, invoke: int, *, is_last: bool) -> tuple[Cover, ...]:
        key = (service, invoke & _INVOKE_ID)
        count, covers = self._due.get(key, (0, ()))
        if is_last and count > 1:
            self._due[key] = (count - 1, covers)
        elif is_last:
            self._due.pop(key, None)
        return covers or _UNKNOWN

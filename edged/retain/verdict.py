"""What may happen to a segment, decided in one place, with its reason. Pure.

The order is fixed: held > must keep (below its floor, or not provably past it) > must erase (past a duty to delete) >
may erase (space is needed) > keep. The sweep, the explanation and every deleting transaction ask here; there is no
second path, no emergency path and no override.

Below the floor, Order 799 art. 17 (not less than 30 days) and whatever entry asks for more; past it, the same article
demands deletion once the purpose is achieved, which is presumed unless a hold says otherwise. A person's wish for
erasure does not shorten a statutory period (PIPL art. 47, last paragraph).
"""

from dataclasses import dataclass
from enum import StrEnum

from edged.model import Floor


class Action(StrEnum):
    """The five answers, strongest first."""

    HELD = "held"
    MUST_KEEP = "must_keep"
    MUST_ERASE = "must_erase"
    MAY_ERASE = "may_erase"
    KEEP = "keep"


ERASING = (Action.MUST_ERASE, Action.MAY_ERASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFacts:
    """What the verdict needs to know of a segment. `keep_until_us` is the first instant at which it may go."""

    keep_until_us: int
    floor: Floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """A duty to delete: when it is to be carried out (grace included) and the entry that demands it."""

    erase_due_us: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer, a sentence that says why, and the ids of holds or rules it rests on."""

    action: Action
    because: str
    rules: tuple[str, ...]


def deletable(
    facts: SegmentFacts, *, held_by: tuple[str, ...], retention_us: int, clock_trusted: bool, volume_proven: bool
) -> bool:
    """Whether edged is allowed to delete at all: past its floor by the retention clock, under no hold, the clock
    trusted and the volume's identity proven (I1, I2, I10). Allowed is not yet a reason to."""
    return not held_by and clock_trusted and volume_proven and retention_us >= facts.keep_until_us


def judge(
    facts: SegmentFacts,
    *,
    held_by: tuple[str, ...],
    retention_us: int,
    space_needed: bool,
    ceiling: Ceiling | None,
    clock_trusted: bool,
    volume_proven: bool,
) -> Verdict:
    """The verdict on one segment at the retention clock's `retention_us`."""
    floor = f"{facts.floor.days} days under {', '.join(facts.floor.rules)}"
    if held_by:
        return Verdict(action=Action.HELD, because=f"under evidence hold {', '.join(held_by)}", rules=held_by)
    if not deletable(
        facts,
        held_by=held_by,
        retention_us=retention_us,
        clock_trusted=clock_trusted,
        volume_proven=volume_proven,
    ):
        return Verdict(
            action=Action.MUST_KEEP,
            because=_not_past(facts, floor, retention_us, clock_trusted),
            rules=facts.floor.rules,
        )
    if ceiling is not None and retention_us >= ceiling.erase_due_us:
        return Verdict(
            action=Action.MUST_ERASE,
            because=f"its floor of {floor} has passed and {ceiling.rule} demands that it be deleted",
            rules=(*facts.floor.rules, ceiling.rule),
        )
    if space_needed:
        return Verdict(
            action=Action.MAY_ERASE,
            because=f"its floor of {floor} has passed and the volume needs space",
            rules=facts.floor.rules,
        )
    return Verdict(
        action=Action.KEEP,
        because=f"its floor of {floor} has passed, but nothing demands its space yet",
        rules=facts.floor.rules,
    )


def _not_past(facts: SegmentFacts, floor: str, retention_us: int, clock_trusted: bool) -> str:
    if retention_us < facts.keep_until_us:
        return f"below its floor of {floor}"
    if not clock_trusted:
        return f"the retention clock is not trusted, so its floor of {floor} counts as running"
    return f"the identity of its volume is not proven, so its floor of {floor} counts as running"

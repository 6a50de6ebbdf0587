"""The verdict: its order, its reasons, and that what it may never say is never said (I1, I2, I10)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.base.clock import DAY
from edged.model import Floor
from edged.retain.verdict import ERASING, Action, Ceiling, SegmentFacts, Verdict, deletable, judge
from tests.deep import DEEP, examples

NOW = 1_800_000_000_000_000
FLOOR = Floor(days=30, rules=("order-799/17",))
PAST = SegmentFacts(keep_until_us=NOW, floor=FLOOR)
BELOW = SegmentFacts(keep_until_us=NOW + 1, floor=FLOOR)
DUE = Ceiling(erase_due_us=NOW, rule="order-799/17-delete")
NOT_DUE = Ceiling(erase_due_us=NOW + 1, rule="order-799/17-delete")


def verdict(
    facts: SegmentFacts = PAST,
    *,
    held_by: tuple[str, ...] = (),
    space_needed: bool = False,
    ceiling: Ceiling | None = None,
    clock_trusted: bool = True,
    volume_proven: bool = True,
) -> Verdict:
    return judge(
        facts,
        held_by=held_by,
        retention_us=NOW,
        space_needed=space_needed,
        ceiling=ceiling,
        clock_trusted=clock_trusted,
        volume_proven=volume_proven,
    )


def test_the_five_answers_and_what_they_say() -> None:
    assert verdict(held_by=("hold-7",), ceiling=DUE) == Verdict(
        action=Action.HELD, because="under evidence hold hold-7", rules=("hold-7",)
    )
    assert verdict(BELOW, ceiling=DUE) == Verdict(
        action=Action.MUST_KEEP, because="below its floor of 30 days under order-799/17", rules=("order-799/17",)
    )
    assert verdict(ceiling=DUE, space_needed=True) == Verdict(
        action=Action.MUST_ERASE,
        because="its floor of 30 days under order-799/17 has passed and order-799/17-delete demands that it be deleted",
        rules=("order-799/17", "order-799/17-delete"),
    )
    assert verdict(space_needed=True) == Verdict(
        action=Action.MAY_ERASE,
        because="its floor of 30 days under order-799/17 has passed and the volume needs space",
        rules=("order-799/17",),
    )
    assert verdict(ceiling=NOT_DUE) == Verdict(
        action=Action.KEEP,
        because="its floor of 30 days under order-799/17 has passed, but nothing demands its space yet",
        rules=("order-799/17",),
    )


def test_a_hold_comes_before_the_floor_and_the_floor_before_every_reason_to_delete() -> None:
    assert verdict(BELOW, held_by=("hold-1",)).action is Action.HELD
    assert verdict(BELOW, ceiling=DUE, space_needed=True).action is Action.MUST_KEEP


@pytest.mark.parametrize(
    ("doubt", "said"), [("clock_trusted", "clock is not trusted"), ("volume_proven", "volume is not proven")]
)
def test_i10_a_doubt_about_clock_or_volume_keeps(doubt: str, said: str) -> None:
    kept = verdict(
        ceiling=DUE,
        space_needed=True,
        clock_trusted=doubt != "clock_trusted",
        volume_proven=doubt != "volume_proven",
    )
    assert kept.action is Action.MUST_KEEP
    assert said in kept.because


@settings(derandomize=not DEEP, max_examples=examples(400))
@given(
    st.integers(NOW - 60 * DAY, NOW + 60 * DAY),
    st.sampled_from([(), ("hold-1",), ("hold-1", "hold-2")]),
    st.none() | st.integers(NOW - 60 * DAY, NOW + 60 * DAY),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_i1_i2_i10_an_erasing_verdict_is_past_its_floor_unheld_trusted_and_proven(
    keep_until: int, held_by: tuple[str, ...], due: int | None, space: bool, trusted: bool, proven: bool
) -> None:
    facts = SegmentFacts(keep_until_us=keep_until, floor=FLOOR)
    found = verdict(
        facts,
        held_by=held_by,
        ceiling=None if due is None else Ceiling(erase_due_us=due, rule="r"),
        space_needed=space,
        clock_trusted=trusted,
        volume_proven=proven,
    )
    allowed = keep_until <= NOW and not held_by and trusted and proven
    wanted = space or (due is not None and due <= NOW)
    assert (found.action in ERASING) == (allowed and wanted)
    assert deletable(facts, held_by=held_by, retention_us=NOW, clock_trusted=trusted, volume_proven=proven) == allowed
    assert found.rules
    assert found.because


def test_every_combination_has_exactly_one_answer() -> None:
    seen = {
        verdict(
            facts, held_by=held, space_needed=space, ceiling=ceiling, clock_trusted=trusted, volume_proven=proven
        ).action
        for facts, held, space, ceiling, trusted, proven in itertools.product(
            (PAST, BELOW), ((), ("hold-1",)), (True, False), (None, DUE, NOT_DUE), (True, False), (True, False)
        )
    }
    assert seen == set(Action)

"""The floor of every jurisdiction and place, its provenance, and the clocks of an outage."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.base.clock import HOUR
from edged.law.deadlines import deadlines
from edged.law.entry import Kind, Status
from edged.law.floor import DEFAULT_DAYS, DEFAULT_RULE, resolve_floor
from edged.law.packs import Pack, Packs, load_packs, shipped_packs
from edged.model import Designation, Place, Situation
from tests.deep import DEEP
from tests.lawbook import entry, with_entries

ON = dt.date(2026, 11, 22)


@pytest.fixture
def packs() -> Packs:
    return load_packs(shipped_packs())


@pytest.mark.parametrize(
    ("jurisdiction", "place", "days", "rules", "ceiling"),
    [
        ("national", "listed", 30, ("order-799/17",), 30),
        ("jilin", "listed", 30, ("order-799/17",), 30),
        ("jilin", "other", 15, ("jilin-236/21-2",), None),
        ("lhasa", "listed", 30, ("order-799/17", "lhasa-72/32"), 30),
        ("lhasa", "other", 30, ("lhasa-72/32",), None),
        ("weihai", "listed", 30, ("order-799/17",), 30),
        ("weihai", "other", 30, (DEFAULT_RULE,), None),
        ("changzhou", "listed", 30, ("order-799/17",), 30),
        ("changzhou", "other", 30, (DEFAULT_RULE,), None),
        ("tangshan", "listed", 30, ("order-799/17",), 30),
        ("tangshan", "other", 30, (DEFAULT_RULE,), None),
        ("nowhere", "listed", 30, ("order-799/17",), 30),
        ("nowhere", "other", 30, (DEFAULT_RULE,), None),
    ],
)
def test_the_floor_and_its_articles(
    packs: Packs, jurisdiction: str, place: Place, days: int, rules: tuple[str, ...], ceiling: int | None
) -> None:
    decision = resolve_floor(packs, jurisdiction, place, ON)
    assert (decision.floor.days, decision.floor.rules) == (days, rules)
    assert decision.ceiling_days == ceiling
    assert decision.ceiling_rule == ("order-799/17-delete" if ceiling else None)
    assert bool(decision.warnings) == (DEFAULT_RULE in rules or jurisdiction in ("weihai", "nowhere"))


def test_before_order_799_came_into_force_jilin_had_its_own_number_in_every_place(packs: Packs) -> None:
    assert resolve_floor(packs, "jilin", "listed", dt.date(2025, 3, 31)).floor.days == 15
    assert resolve_floor(packs, "jilin", "listed", dt.date(2025, 4, 1)).floor.days == 30


def test_when_the_trial_of_tangshan_ends_order_799_carries_on_with_a_warning(packs: Packs) -> None:
    before = resolve_floor(packs, "tangshan", "listed", dt.date(2027, 1, 29))
    soon = resolve_floor(packs, "tangshan", "listed", dt.date(2027, 1, 30))
    after = resolve_floor(packs, "tangshan", "listed", dt.date(2027, 5, 1))
    assert before.floor == soon.floor == after.floor
    assert before.warnings == ()
    assert "ends on 2027-04-30" in soon.warnings[0]
    assert "ended on 2027-04-30" in after.warnings[0]


def test_every_entry_is_listed_with_the_reason_why_it_does_not_bind(packs: Packs) -> None:
    decision = resolve_floor(packs, "weihai", "other", ON)
    why = {c.entry.id: (c.applies, c.why) for c in decision.entries}
    assert why["weihai-2014-34/21-7"] == (
        False,
        "Weihai 2014 No. 34 art. 21(7) does not bind: its validity ended on 2024-11-30",
    )
    assert why["order-799/17"] == (False, "State Council Order 799 art. 17 is about other places (listed)")
    draft = resolve_floor(packs, "changzhou", "listed", ON).entries
    local = [c for c in draft if c.entry.id.startswith("changzhou")]
    assert {c.why for c in local if not c.applies and c.entry.kind is Kind.RETENTION_MIN} == {
        "Changzhou 2013 draft art. 18(7) does not bind: it is a draft, not in force"
    }


@pytest.mark.parametrize("status", [Status.DRAFT, Status.LAPSED, Status.UNKNOWN])
@pytest.mark.parametrize("value", [1, 29, 31, 3650])
def test_what_is_not_in_force_moves_the_floor_neither_down_nor_up(status: Status, value: int) -> None:
    decision = resolve_floor(with_entries(entry(status=status, value=value)), "x", "other", ON)
    assert (decision.floor.days, decision.floor.rules) == (DEFAULT_DAYS, (DEFAULT_RULE,))


def test_an_unknown_jurisdiction_never_gets_less_than_the_default() -> None:
    national = Packs((Pack(jurisdiction="national", title="-", entries=(entry(value=15),)),))
    decision = resolve_floor(national, "nowhere", "other", ON)
    assert (decision.floor.days, decision.floor.rules) == (30, (DEFAULT_RULE,))


def test_a_duty_to_delete_never_undercuts_a_longer_floor() -> None:
    delete = entry(id="test/2", kind=Kind.RETENTION_DELETE, value=30)
    decision = resolve_floor(with_entries(entry(value=90), delete), "x", "listed", ON)
    assert (decision.floor.days, decision.ceiling_days, decision.ceiling_rule) == (90, 90, "test/2")


@settings(derandomize=not DEEP)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 400),
            st.sampled_from(list(Status)),
            st.sampled_from([("listed",), ("other",), ("listed", "other")]),
            st.dates(dt.date(2020, 1, 1), dt.date(2030, 1, 1)),
        ),
        max_size=6,
    ),
    st.sampled_from(["listed", "other"]),
    st.dates(dt.date(2020, 1, 1), dt.date(2032, 1, 1)),
)
def test_the_floor_is_the_largest_binding_minimum_or_the_default(
    made: list[tuple[int, Status, tuple[str, ...], dt.date]], place: Place, on: dt.date
) -> None:
    entries = [
        entry(id=f"test/{index}", value=value, status=status, scope={"place": places}, valid_from=start)
        for index, (value, status, places, start) in enumerate(made)
    ]
    binding = [
        value
        for value, status, places, start in made
        if status in (Status.IN_FORCE, Status.TRIAL) and place in places and start <= on
    ]
    decision = resolve_floor(with_entries(*entries), "x", place, on)
    assert decision.floor.days == max(binding, default=DEFAULT_DAYS)
    assert len(decision.entries) == len(entries)


def test_the_hour_and_the_two_hours_of_changzhou_are_shown_as_a_draft(packs: Packs) -> None:
    found = deadlines(packs, "changzhou", Situation("other"), ON)
    assert (found.report_within_us, found.attend_within_us) == (HOUR, 2 * HOUR)
    assert found.report_basis == found.attend_basis == "Changzhou 2013 draft art. 18(8), not in force"


@pytest.mark.parametrize("jurisdiction", ["jilin", "lhasa", "weihai", "tangshan", "national", "nowhere"])
def test_elsewhere_they_are_the_products_own_target_and_say_so(packs: Packs, jurisdiction: str) -> None:
    found = deadlines(packs, jurisdiction, Situation("listed"), ON)
    assert (found.report_within_us, found.attend_within_us) == (HOUR, 2 * HOUR)
    assert found.report_basis == found.attend_basis == "edged's own target"


def test_a_contract_comes_before_a_draft_even_where_it_is_longer(packs: Packs) -> None:
    found = deadlines(packs, "changzhou", Situation("listed"), ON, contract_report_s=7200.0)
    assert (found.report_within_us, found.report_basis) == (2 * HOUR, "the maintenance contract")
    assert found.attend_basis == "Changzhou 2013 draft art. 18(8), not in force"


@pytest.mark.parametrize(
    ("contract_s", "within", "basis"),
    [(1800.0, HOUR // 2, "the maintenance contract"), (9000.0, HOUR, "Test rule art. 1")],
)
def test_of_an_article_in_force_and_a_contract_the_stricter_counts(contract_s: float, within: int, basis: str) -> None:
    report = entry(kind=Kind.REPORT, value=1, unit="hour", counting="from_last_good_frame")
    found = deadlines(with_entries(report), "x", Situation("listed"), ON, contract_report_s=contract_s)
    assert (found.report_within_us, found.report_basis) == (within, basis)


def test_the_packs_of_a_wheel_are_those_of_the_checkout(root: Path) -> None:
    assert shipped_packs() == root / "config" / "jurisdictions"


@pytest.mark.parametrize(
    ("place", "designations", "days", "rules", "ceiling"),
    [
        ("other", ("guard_service",), 30, ("guard-service/25",), None),
        ("other", ("entertainment",), 30, ("entertainment-venue/15",), None),
        ("other", ("key_target",), 90, ("counter-terrorism/32",), None),
        ("listed", ("key_target", "guard_service"), 90, ("counter-terrorism/32",), 90),
        ("listed", ("guard_service",), 30, ("order-799/17", "guard-service/25"), 30),
    ],
)
def test_a_designation_raises_the_floor_in_any_place(
    packs: Packs,
    place: Place,
    designations: tuple[Designation, ...],
    days: int,
    rules: tuple[str, ...],
    ceiling: int | None,
) -> None:
    decision = resolve_floor(packs, "jilin", place, ON, designations)
    assert (decision.floor.days, decision.floor.rules, decision.ceiling_days) == (days, rules, ceiling)
    told = {c.entry.id: c.why for c in decision.entries if not c.applies}
    if "entertainment" not in designations:
        assert told["entertainment-venue/15"].endswith("is about cameras designated entertainment alone")

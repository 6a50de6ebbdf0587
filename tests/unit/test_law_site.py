"""The law at one site: what a segment is stamped with, and when it must go."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.base.clock import DAY, HOUR, SECOND
from edged.law.counting import keep_until_us
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.model import Floor, Situation
from tests.deep import DEEP
from tests.lawbook import entry, with_entries

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")


def local(year: int, month: int, day: int, hour: int = 0) -> int:
    return round(dt.datetime(year, month, day, hour, tzinfo=SHANGHAI).timestamp() * SECOND)


@pytest.fixture
def jilin() -> SiteLaw:
    return SiteLaw(load_packs(shipped_packs()), "jilin", "Asia/Shanghai", 3)


ENDS = local(2026, 11, 1, 8)
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/Havana", "Asia/Kathmandu", "Pacific/Apia")
ELSEWHERE = [SiteLaw(load_packs(shipped_packs()), "jilin", name, 3) for name in ZONES]


@settings(derandomize=not DEEP)
@given(st.integers(2_000_000_000, 2_030_000_000), st.integers(-90, 90), st.sampled_from(ELSEWHERE))
def test_answers_kept_by_the_minute_and_the_day_are_those_of_counting(second: int, near: int, law: SiteLaw) -> None:
    """I1: one law asked again and again, as by intake, around the midnights where a wrong answer would show."""
    midnight = dt.datetime.combine(dt.datetime.fromtimestamp(second, law.tz).date(), dt.time(), law.tz)
    for end_us in (second * SECOND, (round(midnight.timestamp()) + near) * SECOND + 7):
        floor, keep_until = law.stamp(Situation("listed"), end_us, end_us, None)
        assert keep_until == keep_until_us(end_us, floor.days, law.tz)
        due = law.erase_due(
            Situation("listed"), end_us=end_us, keep_until=keep_until, floor_days=floor.days, at_us=end_us
        )
        assert due is not None
        assert due[0] == max(keep_until_us(end_us, floor.days + 3, law.tz), keep_until + 3 * DAY)


def test_a_segment_is_stamped_with_its_floor_and_its_date(jilin: SiteLaw) -> None:
    assert jilin.stamp(Situation("other"), ENDS, ENDS, ENDS) == (
        Floor(days=15, rules=("jilin-236/21-2",)),
        local(2026, 11, 17),
    )
    assert jilin.stamp(Situation("listed"), ENDS, ENDS, None) == (
        Floor(days=30, rules=("order-799/17",)),
        local(2026, 12, 2),
    )


def test_footage_indexed_late_gets_the_larger_of_both_days_floors() -> None:
    """A rule that binds until the day of the recording, and no longer when it is indexed, and the other way round."""
    ending = with_entries(entry(value=40, valid_to=dt.date(2026, 11, 1)), entry(id="test/2", value=35))
    assert SiteLaw(ending, "x", "Asia/Shanghai", 3).stamp(Situation("other"), ENDS, ENDS + 2 * DAY, None)[0] == Floor(
        days=40, rules=("test/1",)
    )
    beginning = with_entries(entry(value=40, valid_from=dt.date(2026, 11, 3)), entry(id="test/2", value=35))
    coming = SiteLaw(beginning, "x", "Asia/Shanghai", 3)
    assert coming.stamp(Situation("other"), ENDS, ENDS + 2 * DAY, None)[0] == Floor(days=40, rules=("test/1",))
    assert coming.stamp(Situation("other"), ENDS, ENDS, None)[0] == Floor(days=35, rules=("test/2",))


def test_i1_a_trial_that_a_wall_clock_years_ahead_calls_over_still_binds_new_footage() -> None:
    """The label and the wall clock say 2036; by the retention clock the trial is in force."""
    packs = with_entries(entry(value=40, valid_to=dt.date(2026, 11, 30)), entry(id="test/2", value=15))
    law = SiteLaw(packs, "x", "Asia/Shanghai", 3)
    ahead = local(2036, 2, 7)
    assert law.stamp(Situation("other"), ahead, ahead, ENDS)[0].days == 40
    assert law.stamp(Situation("other"), ahead, ahead, local(2026, 12, 1))[0].days == 15


def test_i1_a_label_of_1970_gets_the_law_and_the_time_of_today(jilin: SiteLaw) -> None:
    today = local(2026, 11, 22, 12)
    assert jilin.stamp(Situation("other"), 100 * SECOND, 160 * SECOND, today) == (
        Floor(days=15, rules=("jilin-236/21-2",)),
        keep_until_us(today, 15, SHANGHAI),
    )


def test_a_duty_to_delete_is_due_after_floor_and_grace(jilin: SiteLaw) -> None:
    due = jilin.erase_due(Situation("listed"), end_us=ENDS, keep_until=local(2026, 12, 2), floor_days=30, at_us=ENDS)
    assert due == (local(2026, 12, 5), "order-799/17-delete")


@pytest.mark.parametrize(
    ("keep_until", "floor_days", "due"),
    [
        (local(2026, 12, 20), 30, local(2026, 12, 23)),  # counted from later than its label
        (local(2027, 1, 31), 90, local(2027, 2, 3)),  # a longer floor was stamped once
    ],
)
def test_i1_it_is_never_due_before_the_date_the_segment_is_kept_to(
    jilin: SiteLaw, keep_until: int, floor_days: int, due: int
) -> None:
    found = jilin.erase_due(Situation("listed"), end_us=ENDS, keep_until=keep_until, floor_days=floor_days, at_us=ENDS)
    assert found is not None
    assert found[0] == due


def test_where_no_article_demands_deletion_nothing_is_ever_due(jilin: SiteLaw) -> None:
    assert (
        jilin.erase_due(Situation("other"), end_us=ENDS, keep_until=ENDS + 16 * DAY, floor_days=15, at_us=ENDS) is None
    )


def test_the_clocks_of_an_outage_come_with_their_source(jilin: SiteLaw) -> None:
    found = jilin.deadlines(Situation("listed"), ENDS, contract_report_s=1800.0)
    assert (found.report_within_us, found.report_basis) == (HOUR // 2, "the maintenance contract")
    assert (found.attend_within_us, found.attend_basis) == (2 * HOUR, "edged's own target")

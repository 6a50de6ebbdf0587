"""Days are local civil days: LAW.md section 12, items 1 to 3, and zones that change their offset."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.base.clock import DAY, HOUR, SECOND
from edged.base.spans import Span
from edged.law.counting import corrected_end_us, counted_end_us, keep_until_us, local_date
from tests.deep import DEEP, examples

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
ZONES = [
    zoneinfo.ZoneInfo(name)
    for name in ("Asia/Shanghai", "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Pacific/Apia")
]


def us(at: dt.datetime) -> int:
    return round(at.timestamp() * SECOND)


def local(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, zone: zoneinfo.ZoneInfo = SHANGHAI
) -> int:
    return us(dt.datetime(year, month, day, hour, minute, second, tzinfo=zone))


def test_a_last_frame_just_before_midnight_is_kept_thirty_days_and_not_one_second_more() -> None:
    until = keep_until_us(local(2026, 11, 1, 23, 59, 59), 30, SHANGHAI)
    assert until > local(2026, 12, 1, 23, 59, 59)
    assert until == local(2026, 12, 2)


def test_the_day_is_the_sites_whatever_zone_the_recorder_is_in() -> None:
    ends = dt.datetime(2026, 11, 1, 15, 59, 59, tzinfo=dt.UTC)  # 23:59:59 in Shanghai
    assert keep_until_us(us(ends), 30, SHANGHAI) == local(2026, 12, 2)
    assert keep_until_us(us(ends), 30, zoneinfo.ZoneInfo("UTC")) == us(dt.datetime(2026, 12, 2, tzinfo=dt.UTC))
    assert keep_until_us(us(ends) + SECOND, 30, SHANGHAI) == local(2026, 12, 3)


def test_a_segment_over_midnight_counts_from_its_end() -> None:
    assert keep_until_us(local(2026, 11, 2, 0, 0, 30), 30, SHANGHAI) == local(2026, 12, 3)


def test_fifteen_days_in_jilin() -> None:
    assert keep_until_us(local(2026, 11, 1, 8), 15, SHANGHAI) == local(2026, 11, 17)


def test_the_hour_lost_to_summer_time_does_not_shorten_a_floor() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    # 2026-03-29 has 23 hours. The last microsecond of the 28th, one day: the 30th at 00:00 is 23 h and 1 us later.
    ends = local(2026, 3, 29, zone=berlin) - 1
    until = keep_until_us(ends, 1, berlin)
    assert local(2026, 3, 30, zone=berlin) - ends == 23 * HOUR + 1
    assert until == ends + DAY


def test_a_midnight_that_comes_twice_is_taken_the_second_time() -> None:
    havana = zoneinfo.ZoneInfo("America/Havana")  # at 01:00 on 2025-11-02 clocks go back to midnight
    twice = dt.datetime(2025, 11, 2, tzinfo=havana)
    assert us(twice.replace(fold=1)) - us(twice) == HOUR
    assert keep_until_us(local(2025, 10, 31, 12, zone=havana), 1, havana) == us(twice.replace(fold=1))


@settings(derandomize=not DEEP, max_examples=examples(500))
@given(st.integers(0, 4_000_000_000 * SECOND), st.integers(1, 800), st.sampled_from(ZONES))
def test_a_floor_is_never_short_and_never_two_days_long(end_us: int, days: int, zone: zoneinfo.ZoneInfo) -> None:
    until = keep_until_us(end_us, days, zone)
    # What the database's own guard demands, and what the law does: not before the day after the last day of the floor.
    assert until >= end_us + days * DAY
    assert local_date(until, zone) >= local_date(end_us, zone) + dt.timedelta(days=days + 1)
    # One civil day and, at most, what a zone may skip.
    assert until <= end_us + (days + 2) * DAY + HOUR


@pytest.mark.parametrize("days", [0, -1])
def test_a_floor_without_a_day_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match="at least one day"):
        keep_until_us(0, days, SHANGHAI)


def test_i1_a_label_that_cannot_be_true_is_counted_from_the_later_clock() -> None:
    now = local(2026, 11, 22)
    dead = 5 * SECOND
    assert counted_end_us(dead, now, now - HOUR) == now
    assert counted_end_us(dead, dead, now) == now
    assert counted_end_us(dead, now, None) == now
    assert counted_end_us(now - 3 * DAY, now - 3 * DAY, now) == now
    assert counted_end_us(now - 3 * HOUR, now, now) == now


def test_i1_where_running_time_tells_the_age_it_is_counted_from_then() -> None:
    """A clock eight hours behind, right again before the segment is indexed, an hour after it ended."""
    now = local(2026, 11, 22)
    assert counted_end_us(now - 9 * HOUR, now, now, now - HOUR) == now - HOUR
    assert counted_end_us(5 * SECOND, now, now - 9 * DAY, now - HOUR) == now - HOUR
    assert counted_end_us(now - 3 * HOUR, now, now, now - 3 * HOUR) == now - 3 * HOUR
    assert counted_end_us(now + DAY, now, now, now - HOUR) == now + DAY


def test_a_plausible_label_is_believed() -> None:
    now = local(2026, 11, 22)
    assert counted_end_us(now - HOUR, now, now) == now - HOUR
    assert counted_end_us(now - 3 * DAY, now, now, now - 3 * DAY) == now - 3 * DAY
    assert counted_end_us(now - 3 * DAY, now, None) == now - 3 * DAY
    assert counted_end_us(now + 40 * DAY, now, now) == now + 40 * DAY


def test_i1_a_corrected_label_is_as_late_as_the_clock_was_wrong_and_no_later_than_it_was_found() -> None:
    labels = Span(100 * DAY, 110 * DAY)
    assert corrected_end_us(105 * DAY, labels, 20 * DAY, 200 * DAY) == 125 * DAY
    assert corrected_end_us(105 * DAY, labels, 20 * DAY, 120 * DAY) == 120 * DAY
    assert corrected_end_us(110 * DAY, labels, 20 * DAY, 90 * DAY) == 110 * DAY, "never earlier than it says"
    assert corrected_end_us(100 * DAY, labels, 20 * DAY, 200 * DAY) is None
    assert corrected_end_us(110 * DAY + 1, labels, 20 * DAY, 200 * DAY) is None

"""Camera-hours: told once complete, told again when something comes late, and never for a time nobody can vouch for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.archive import roster
from edged.archive.told import floors_of
from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.base.spans import Span
from edged.model import Cause, Coverage, Floor, Gap, RecorderStart, StreamKind
from edged.prove.hour_record import Before, HourSegment, begins_in_gap, hour_record
from edged.prove.hours import LOOK_BACK_HOURS, due_hours, record_of
from tests.proving import CAMERA, Box, box
from tests.retaining import START_US

H = START_US // HOUR
SPAN = Span(H * HOUR, (H + 1) * HOUR)
WHOLE = Coverage(SPAN, (SPAN,), ())
SEGMENT = HourSegment(SPAN.start_us + 5, SPAN.start_us + 65, 3, 7, 1000, bytes(32), Floor(days=30, rules=("r",)))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Box]:
    async with box(tmp_path) as built:
        yield built


async def hours_told(site: Box) -> list[tuple[int, int]]:
    """Each record: its hour, counted from the start, and how many segments it names."""
    return [((r["hour_us"] - START_US) // HOUR, len(r["segments"])) for r in await site.told("camera_hour")]


def test_a_record_names_every_segment_and_gap() -> None:
    gap = Gap(Span(SPAN.start_us + 100, SPAN.end_us), Cause.STALLED)
    record = hour_record("cam-1", StreamKind.MAIN, H, Coverage(SPAN, (), (gap,)), [SEGMENT], None)
    assert record == {
        "camera": "cam-1",
        "stream": "main",
        "hour_us": SPAN.start_us,
        "from_us": SPAN.start_us,
        "to_us": SPAN.end_us,
        "segments": [[5, 60, 3, 7, 1000, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]],
        "gaps": [[100, HOUR - 100, "stalled"]],
        "floor_days": 30,
        "rules": ["r"],
        "supersedes": None,
    }
    assert not begins_in_gap(record)


def test_an_hour_before_the_camera_has_no_record() -> None:
    nothing = Coverage(Span(SPAN.end_us, SPAN.end_us), (), ())
    assert hour_record("cam-1", StreamKind.MAIN, H, nothing, [], None) is None


def test_a_record_that_says_nothing_new_is_not_written_again() -> None:
    first = hour_record("cam-1", StreamKind.MAIN, H, WHOLE, [SEGMENT], None)
    assert first is not None
    assert hour_record("cam-1", StreamKind.MAIN, H, WHOLE, [SEGMENT], Before(9, first)) is None
    raised = SEGMENT._replace(floor=Floor(days=90, rules=("other",)))
    assert hour_record("cam-1", StreamKind.MAIN, H, WHOLE, [raised], Before(9, first)) is None


def test_i4_a_later_record_still_names_what_has_been_deleted_since() -> None:
    first = hour_record("cam-1", StreamKind.MAIN, H, WHOLE, [SEGMENT], None)
    assert first is not None
    late = SEGMENT._replace(start_us=SEGMENT.start_us + 100, end_us=SEGMENT.end_us + 100, seq=8)
    second = hour_record("cam-1", StreamKind.MAIN, H, WHOLE, [late], Before(9, first))
    assert second is not None
    assert second["supersedes"] == 9
    assert [one[3] for one in second["segments"]] == [7, 8]


def test_i1_an_hour_in_which_the_law_changed_names_both_floors() -> None:
    """The one that is named for all is the smallest; which segments stand under a longer one is said besides."""
    fifteen, forty = Floor(days=15, rules=("o",)), Floor(days=40, rules=("n",))
    first = hour_record("cam-1", StreamKind.MAIN, H, WHOLE, [SEGMENT], None)
    assert first is not None
    assert "longer" not in first
    more = [SEGMENT._replace(seq=8, floor=forty), SEGMENT._replace(seq=9, floor=fifteen)]
    second = hour_record("cam-1", StreamKind.MAIN, H, WHOLE, more, Before(9, first))
    assert second is not None
    assert (second["floor_days"], second["rules"]) == (15, ["o"])
    assert second["longer"] == [[30, ["r"], [[5, 3, 7]]], [40, ["n"], [[5, 3, 8]]]]
    read_back = {seq: floor for (_, _, seq), floor in floors_of(second).items()}
    assert read_back == {7: SEGMENT.floor, 8: forty, 9: fifteen}
    assert hour_record("cam-1", StreamKind.MAIN, H, WHOLE, more, Before(10, second)) is None


async def test_an_hour_is_told_once_complete_and_only_once(site: Box) -> None:
    await site.record(START_US, START_US + 3 * HOUR)
    await site.until(START_US + 2 * HOUR + 4 * MINUTE)
    await site.hours.one_pass()
    assert await hours_told(site) == [(0, 6)]
    await site.until(START_US + 2 * HOUR + 6 * MINUTE)
    assert await site.hours.one_pass() == 1
    assert await site.hours.one_pass() == 0
    assert await hours_told(site) == [(0, 6), (1, 6)]


async def test_i4_an_hour_without_any_fact_is_on_record_too(site: Box) -> None:
    await site.until(START_US + 3 * HOUR + 6 * MINUTE)
    await site.hours.one_pass()
    assert await hours_told(site) == [(0, 0), (1, 0), (2, 0)]
    assert (await site.told("camera_hour"))[1]["gaps"] == [[0, HOUR, "recorder"]]


async def test_what_ends_a_long_gap_explains_its_earlier_hours(site: Box) -> None:
    """A recorder that died was silent; its next start tells why, for all the hours of silence."""
    await site.up(START_US)
    await site.record(START_US, START_US + 30 * MINUTE)
    await site.until(START_US + 4 * HOUR + 6 * MINUTE)
    await site.hours.one_pass()
    gaps = [record["gaps"][-1][2] for record in await site.told("camera_hour")]
    assert gaps == ["unknown"] * 4
    back = START_US + 4 * HOUR + 10 * MINUTE
    await site.facts(RecorderStart(recorder="nvr", run=2, at_us=back, mono_us=1, boot_id="boot-1", version="0"))
    await site.record(back + SECOND, START_US + 5 * HOUR)
    await site.until(START_US + 5 * HOUR + 6 * MINUTE)
    await site.hours.one_pass()
    for hour in range(4):
        record = await site.house.database.read(record_of, CAMERA, StreamKind.MAIN, H + hour)
        assert record is not None
        assert [gap[2] for gap in record.body["gaps"]] == ["recorder"]


async def test_what_the_recorder_did_is_told_of_every_camera(site: Box) -> None:
    await site.house.camera("cam-2")
    await site.up(START_US)
    await site.until(START_US + 2 * HOUR + 6 * MINUTE)
    await site.hours.one_pass()
    start = RecorderStart(recorder="nvr", run=2, at_us=START_US + HOUR, mono_us=1, boot_id="b", version="0")
    await site.facts(start)
    await site.hours.one_pass()
    record = await site.house.database.read(record_of, CAMERA, StreamKind.MAIN, H)
    assert record is not None
    assert record.body["gaps"][-1][2] == "recorder"
    assert await site.house.sql("SELECT * FROM hour_due WHERE camera = 0") == []


async def test_an_hour_waits_for_its_volume_but_not_for_ever(site: Box) -> None:
    await site.house.sql("UPDATE camera SET volume = 1")
    site.unread.add("disk-0")
    await site.until(START_US + 2 * HOUR)
    assert await site.hours.one_pass() == 0
    await site.until(START_US + DAY + HOUR + 6 * MINUTE)
    await site.hours.one_pass()
    assert await hours_told(site) == [(0, 0)]
    site.unread.clear()
    await site.record(START_US, START_US + HOUR)
    await site.hours.one_pass()
    assert (0, 6) in await hours_told(site)


async def test_i10_a_wall_clock_far_ahead_makes_no_empty_hours(site: Box) -> None:
    """Ten years of gaps would be untrue, and many: empty hours go by the retention clock."""
    await site.until(START_US + 2 * HOUR + 6 * MINUTE)
    await site.hours.one_pass()
    site.house.ntp = False
    site.house.clock.step_wall(10 * 365 * 86400)
    await site.house.tick()
    await site.hours.one_pass()
    assert await hours_told(site) == [(0, 0), (1, 0)]


async def test_a_camera_adopted_in_1970_does_not_owe_half_a_century(site: Box) -> None:
    await site.house.sql("UPDATE camera SET adopted_us = 5")
    now = site.house.clock.wall_us()
    (stream,) = await site.house.database.read(due_hours, now, frozenset())
    assert len(stream.hours) <= LOOK_BACK_HOURS


async def test_a_removed_camera_has_no_hours_after_its_last(site: Box) -> None:
    await site.until(START_US + HOUR + 10 * MINUTE)
    await site.house.database.write(roster.remove, CAMERA, site.house.clock.wall_us())
    await site.until(START_US + 9 * HOUR)
    await site.hours.one_pass()
    assert await hours_told(site) == [(0, 0), (1, 0)]
    await site.house.database.write(roster.adopt, CAMERA, site.house.clock.wall_us())
    await site.until(START_US + 12 * HOUR)
    await site.hours.one_pass()
    assert [hour for hour, _ in await hours_told(site)] == list(range(11)), "the time between is a planned gap"
    assert (await site.told("camera_hour"))[5]["gaps"] == [[0, HOUR, "planned"]]


async def test_a_camera_never_adopted_has_no_records(tmp_path: Path) -> None:
    async with box(tmp_path, adopt=False) as site:
        await site.house.sql(
            "INSERT INTO camera (id, source, state, place, found_us) VALUES ('cam-9', 'onvif', 'found', 'listed', 0)"
        )
        await site.until(START_US + 3 * HOUR)
        assert await site.hours.one_pass() == 0

"""Health and state documents, and when they are worth saying."""

import asyncio
import dataclasses
from pathlib import Path

from edged.archive import outbox
from edged.archive.database import Database
from edged.base.clock import SECOND, ManualClock
from edged.model import Cause, StreamState
from edged.report.feed import StateFeed, Told, changed
from edged.report.health import (
    LedgerHealth,
    OutageHealth,
    Snapshot,
    VolumeForecast,
    VolumeHealth,
    camera_details,
    camera_document,
    health_document,
    problems,
    retention_document,
    status_line,
)
from edged.report.messages import clean
from tests.brokers import until
from tests.reporting import a_camera, a_snapshot

LOST = OutageHealth(
    outage="out-1",
    camera="cam-2",
    state="outage",
    cause=Cause.STALLED,
    t0_us=1,
    report_due_us=2,
    attend_due_us=None,
    overdue=("report",),
)
SICK = a_snapshot(
    cameras=(a_camera(1), a_camera(2, recording=False, state=StreamState.DOWN, cause=Cause.STALLED, outage="out-1")),
    outages=(LOST,),
    volumes=(VolumeHealth(volume="disk-a", online=False, size_bytes=None, free_bytes=None),),
    recorder_online=False,
    retention_clock_trusted=False,
)


def test_a_box_that_is_well_has_no_problems_and_a_sick_one_names_each() -> None:
    assert problems(a_snapshot(2)) == []
    assert problems(SICK) == [
        "recorder_offline",
        "outage_open",
        "outage_overdue",
        "volume_offline",
        "retention_clock_untrusted",
    ]


FORECAST = VolumeForecast(volume="disk-a", room_bytes=400, needed_bytes=500, full_us=7_000_000, alarm=True)


def test_what_the_ledger_and_the_forecast_say_are_problems_too() -> None:
    snapshot = a_snapshot(1, forecasts=(FORECAST,), ledger=LedgerHealth(behind=("disk-a",), rewritten=True))
    assert problems(snapshot) == ["disk_too_small", "ledger_behind", "ledger_rewritten"]
    calm = dataclasses.replace(FORECAST, alarm=False)
    assert problems(a_snapshot(1, forecasts=(calm,), ledger=LedgerHealth())) == []


def test_the_forecast_is_said_when_it_is_known_and_when_it_changes() -> None:
    told, topics = look(Told(), a_snapshot(1, forecasts=(FORECAST,)), 0)
    assert topics == ["camera/cam-1", "retention", "health"]
    told, topics = look(told, a_snapshot(1, forecasts=(FORECAST,)), 1)
    assert topics == []
    assert look(told, a_snapshot(1), 2)[1] == ["health"], "no forecast is no news, and the alarm is over"
    told, topics = look(told, a_snapshot(1, forecasts=(dataclasses.replace(FORECAST, room_bytes=401),)), 3)
    assert topics == ["retention"]
    document = retention_document(a_snapshot(1, forecasts=(FORECAST,)))
    assert clean("retention", document) == (document, [])


def test_the_health_document_counts() -> None:
    document = health_document(SICK)
    assert document["cameras"] == 2
    assert document["cameras_recording"] == 1
    assert document["outages_open"] == 1
    assert document["outages_overdue"] == 1
    assert document["outages"] == ["out-1"]


def test_the_status_line_says_what_matters() -> None:
    assert status_line(a_snapshot(4)) == "recording 4/4"
    assert status_line(SICK) == "recording 1/2, 1 outage (1 overdue)"
    two = dataclasses.replace(SICK, outages=(dataclasses.replace(LOST, overdue=()),) * 2)
    assert status_line(two) == "recording 1/2, 2 outages"


def test_a_camera_nobody_has_heard_of_is_unknown() -> None:
    assert camera_document(a_camera(1, state=None))["state"] == "unknown"
    assert camera_details(a_camera(1, frames=7))["frames"] == 7


def look(told: Told, snapshot: Snapshot, mono_s: int) -> tuple[Told, list[str]]:
    told, news = changed(told, snapshot, mono_us=mono_s * SECOND, health_every_us=30 * SECOND)
    return told, [topic for topic, _ in news]


def test_states_are_said_when_they_change_and_health_now_and_then() -> None:
    told, topics = look(Told(), a_snapshot(2), 0)
    assert topics == ["camera/cam-1", "camera/cam-2", "health"]
    more = a_snapshot(cameras=(a_camera(1, frames=99, last_committed_us=9), a_camera(2)))
    told, topics = look(told, more, 1)
    assert topics == []  # frames that come are no news
    told, topics = look(told, SICK, 2)
    assert topics == ["camera/cam-2", "health"]
    told, topics = look(told, SICK, 31)
    assert topics == []
    told, topics = look(told, SICK, 32)
    assert topics == ["health"]
    told, topics = look(told, a_snapshot(1), 33)
    assert topics == ["camera/cam-2", "health"]
    assert look(told, a_snapshot(1), 34)[1] == []


async def test_the_feed_remembers_what_a_past_run_said(tmp_path: Path, manual_clock: ManualClock) -> None:
    woken: list[int] = []
    for cameras, expected in ((2, ["camera/cam-1", "camera/cam-2", "health"]), (1, ["camera/cam-2", "health"])):
        database = Database(tmp_path / "index.db")
        await database.write(_deliver_all)
        woken.clear()
        feed = StateFeed(
            database=database,
            clock=manual_clock,
            snapshot=lambda count=cameras: a_snapshot(count),  # type: ignore[misc]
            health_every=30,
            wake=lambda: woken.append(1),
        )
        task = asyncio.create_task(feed.run(lambda: None))
        await until(lambda: bool(woken), "the first look")
        task.cancel()
        await asyncio.wait({task})
        waiting = await database.read(outbox.pending, 10)
        assert [m.topic for m in waiting] == expected
        database.close()
    assert waiting[0].body["state"] == "removed"


def _deliver_all(connection: object) -> None:
    import sqlite3

    assert isinstance(connection, sqlite3.Connection)
    outbox.acknowledged(connection, [m.seq for m in outbox.pending(connection, 100)])

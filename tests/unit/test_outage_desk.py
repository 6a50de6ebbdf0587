"""The desk: what is written, when deadlines pass, what people may enter, and that a restart changes nothing (I5)."""

import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edged.base.clock import HOUR, MINUTE, SECOND
from edged.base.spans import Span
from edged.model import Cause
from edged.outage import view
from edged.outage.desk import Change
from edged.outage.duties import Standing
from edged.outage.entries import NotGoodYet
from edged.outage.lifecycle import State
from tests.outage_site import DEADLINES, Site, events


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await Site(tmp_path).open(["cam-a", "cam-b"])
    yield site
    site.database.close()


async def end_footage(site: Site, camera: str, span: Span) -> None:
    """The index learns that `camera` was recorded during `span`."""

    def act(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO coverage (camera, stream, start_us, end_us) SELECT no, 0, ?, ? FROM camera WHERE id = ?",
            (*span, camera),
        )

    await site.database.write(act)


def standings(site: Site) -> list[str]:
    [incident] = site.desk.open_incidents()
    return [duty.standing.value for duty in incident.duties]


# --- opening --------------------------------------------------------------------------------------------------------


async def test_an_outage_is_row_history_ledger_entry_and_message_at_once(site: Site) -> None:
    incident = await site.lose_one()
    outage = incident.outage
    assert outage.t0_us == site.feeds["cam-a"].committed_us
    assert outage.report_due_us == outage.t0_us + HOUR
    assert (outage.state, outage.cause, outage.report_basis) == (State.OUTAGE, Cause.UNREACHABLE, "article of a test")
    assert [step.event for step in (await site.desk.show(outage.id))[1]] == ["opened"]
    [entry] = await site.ledger()
    assert (entry.kind.value, entry.body["outage"], entry.body["t0_us"]) == ("outage_opened", outage.id, outage.t0_us)
    [message] = await site.messages()
    assert (message["event"], message["outage"], message["t0_us"]) == ("opened", outage.id, outage.t0_us)
    assert events(site.told) == ["opened"]


async def test_nothing_is_told_and_nothing_believed_when_it_could_not_be_written(site: Site) -> None:
    await site.second(5)
    site.lose("cam-a")
    broken = "CREATE TRIGGER broken BEFORE INSERT ON outage BEGIN SELECT RAISE(ABORT, 'no space'); END"
    await site.database.write(lambda c: c.execute(broken).fetchall())
    with pytest.raises(sqlite3.IntegrityError, match="no space"):
        await site.second(12)
    assert site.told == []
    assert site.desk.open_incidents() == ()
    assert await site.ledger() == []
    await site.database.write(lambda c: c.execute("DROP TRIGGER broken").fetchall())
    assert events(await site.second()) == ["opened"]


async def test_t0_is_moved_on_to_footage_the_index_has_and_the_status_had_not(site: Site) -> None:
    await site.second(5)
    known_us = site.feeds["cam-a"].committed_us or 0
    site.recorder_alive = False
    await end_footage(site, "cam-a", Span(known_us - MINUTE, known_us + SECOND))
    await site.second(10)
    found = {i.outage.camera: i.outage for i in site.desk.open_incidents()}
    assert found["cam-a"].t0_us == known_us + SECOND
    assert found["cam-b"].t0_us == site.feeds["cam-b"].committed_us
    assert {outage.cause for outage in found.values()} == {Cause.RECORDER}


async def test_footage_labelled_later_than_now_says_nothing_about_t0(site: Site) -> None:
    """The wall clock was stepped back since it was recorded."""
    now_us = site.clock.wall_us()
    await end_footage(site, "cam-a", Span(now_us - HOUR, now_us + HOUR))
    outage = (await site.lose_one()).outage
    assert outage.t0_us == site.feeds["cam-a"].committed_us


async def test_law_12_18_a_daemon_dead_for_three_hours_back_dates_t0(site: Site) -> None:
    """LAW 12, item 18: the controller was away, and the feed was lost soon after it went."""
    await site.second(5)
    lost_us = site.feeds["cam-a"].committed_us or 0
    await end_footage(site, "cam-a", Span(lost_us - MINUTE, lost_us))
    site.lose("cam-a")
    site.feeds["cam-a"].committed_us = None  # the recorder was restarted as well
    await site.crash(away=3 * 3600)
    changes = await site.second(12)
    assert events(changes) == ["opened", "report_overdue"]
    outage = changes[0].incident.outage
    assert outage.t0_us == lost_us
    assert outage.report_due_us == lost_us + HOUR
    assert standings(site) == ["overdue", "overdue", "waiting"]


async def test_a_stream_that_never_delivered_is_an_outage_since_adoption(site: Site) -> None:
    await site.second(2)
    await site.adopt("cam-c")
    adopted_us = site.clock.wall_us()
    site.feeds["cam-c"].live = False
    assert events(await site.second(12)) == ["opened"]
    [incident] = site.desk.open_incidents()
    assert (incident.outage.camera, incident.outage.t0_us) == ("cam-c", adopted_us)


async def test_a_camera_adopted_again_is_not_accused_of_the_time_it_was_removed(site: Site) -> None:
    await site.second(5)
    await site.remove("cam-a")
    del site.feeds["cam-a"]
    await site.second(600)
    await site.adopt("cam-a")
    again_us = site.clock.wall_us()
    site.feeds["cam-a"].live = False
    await site.crash()
    await site.second(12)
    [incident] = site.desk.open_incidents()
    assert incident.outage.t0_us == again_us


async def test_a_removed_camera_is_withdrawn(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.remove("cam-a")
    assert events(await site.second()) == ["closed"]
    closed = (await site.find(outage.id)).outage
    assert (closed.state, closed.restored_us, closed.closed_us) == (State.CLOSED, None, site.clock.wall_us())
    assert (await site.ledger())[-1].body["because"] == "withdrawn"
    with pytest.raises(NotGoodYet):
        await site.desk.restored(outage.id, "person one")


async def test_a_status_said_again_and_again_is_no_sign_of_life(site: Site) -> None:
    await site.second(5)
    stuck = site.status()
    changes: list[Change] = []
    for _ in range(15):
        site.clock.advance(1)
        changes += await site.desk.observe(stuck)
    assert events(changes) == ["opened", "opened"]
    assert {change.incident.outage.cause for change in changes} == {Cause.RECORDER}


async def test_a_dead_process_is_no_word_about_the_cameras_of_another(site: Site) -> None:
    """Two processes record; that of cam-a dies, and what the other one says goes on."""
    await site.second(5)
    changes: list[Change] = []
    for _ in range(15):
        site.clock.advance(1)
        site.deliver()
        told = site.status()
        assert told is not None
        rest = tuple(stream for stream in told.streams if stream.camera != "cam-a")
        changes += await site.desk.observe(replace(told, streams=rest), lambda camera: camera != "cam-a")
    assert [(c.event, c.incident.outage.camera, c.incident.outage.cause) for c in changes] == [
        ("opened", "cam-a", Cause.RECORDER)
    ]


async def test_256_lost_at_once_are_one_transaction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    caplog.set_level(logging.ERROR)
    site = await Site(tmp_path).open(f"cam-{n}" for n in range(256))
    try:
        await site.second(5)
        site.lose()
        await site.second(7)
        commits: list[str] = []
        await site.database.read(lambda c: c.set_trace_callback(lambda sql: commits.append(sql.split()[0])))
        began = time.perf_counter()
        changes = await site.second(1)
        record_property("opened_256_ms", round((time.perf_counter() - began) * 1000))
        await site.database.read(lambda c: c.set_trace_callback(None))
        assert events(changes) == ["opened"] * 256
        assert commits.count("COMMIT") == 1
        assert len(await site.messages()) == len(await site.ledger()) == 256
        assert len({change.incident.outage.id for change in changes}) == 256
    finally:
        site.database.close()


# --- reporting, attendance, deadlines -------------------------------------------------------------------------------


async def test_reported_only_when_both_addressees_have_acknowledged(site: Site) -> None:
    outage = (await site.lose_one()).outage
    first = await site.desk.report(outage.id, "superior_department", "person one")
    assert first.outage.state is State.OUTAGE
    assert first.outage.attend_due_us is None
    second = await site.desk.report(outage.id, "repair_unit", "person two")
    assert second.outage.state is State.REPORTED
    assert second.outage.attend_due_us == site.clock.wall_us() + 2 * HOUR
    assert events(site.told) == ["opened", "report_received", "reported"]
    there = await site.desk.attended(outage.id, "person three")
    assert there.outage.state is State.ATTENDED
    assert [duty.standing for duty in there.duties] == [Standing.MET] * 3
    assert [entry.kind.value for entry in await site.ledger()] == [
        "outage_opened",
        "outage_reported",
        "outage_reported",
        "outage_attended",
    ]


async def test_law_12_16_a_report_to_the_repair_unit_alone_is_a_breach(site: Site) -> None:
    """LAW 12, item 16: the repair unit knows at 59 min, the superior department never."""
    outage = (await site.lose_one()).outage
    await site.second(59 * 60 - 8)
    await site.desk.report(outage.id, "repair_unit", "person one")
    changes = await site.second(60)
    assert events(changes) == ["report_overdue"]
    assert standings(site) == ["met", "overdue", "pending"]
    assert view.overdue_words(site.desk.open_incidents()[0]) == ["report"]
    assert (await site.find(outage.id)).outage.state is State.OUTAGE
    assert events(await site.second(120)) == []  # a missed deadline is written down once


async def test_law_12_17_attendance_runs_from_the_receipt(site: Site) -> None:
    """LAW 12, item 17: sent at once, received 50 min later, on site 2 h after the receipt."""
    outage = (await site.lose_one()).outage
    await site.second(50 * 60)
    received_us = site.clock.wall_us()
    await site.desk.report(outage.id, "repair_unit", "person one", received_us)
    await site.desk.report(outage.id, "superior_department", "person two")
    assert events(await site.second(2 * 3600 - 1)) == []
    there = await site.desk.attended(outage.id, "person one", received_us + 2 * HOUR - SECOND)
    assert there.attendance.standing is Standing.MET
    assert there.attendance.due_us == received_us + 2 * HOUR


async def test_attendance_one_second_late_is_late(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    await site.desk.report(outage.id, "superior_department", "person one")
    assert events(await site.second(2 * 3600 + 1)) == ["attendance_overdue"]
    assert [step.event for step in (await site.desk.show(outage.id))[1]][-1] == "attendance_overdue"
    late = await site.desk.attended(outage.id, "person one")
    assert late.attendance.standing is Standing.LATE


@pytest.mark.parametrize("step", [-3 * 86400, -3600, 3600, 40 * 86400])
async def test_i5_a_step_of_the_wall_clock_neither_fires_nor_hides_a_deadline(site: Site, step: int) -> None:
    await site.lose_one()
    site.clock.step_wall(step)
    assert events(await site.second(59 * 60)) == []
    assert events(await site.second(60)) == ["report_overdue"]


async def test_i5_a_restart_changes_neither_the_outage_nor_its_deadlines(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    before = (await site.find(outage.id)).outage
    site.deadlines = DEADLINES.__class__(
        report_within_us=9 * HOUR, report_basis="other", attend_within_us=9 * HOUR, attend_basis="other"
    )
    for _ in range(3):
        await site.crash(away=60)
        assert await site.second(30) == []
        assert (await site.find(outage.id)).outage == before
    assert events(await site.second(3600)) == ["report_overdue"]
    await site.crash()
    assert await site.second(30) == []
    assert len(await site.desk.incidents(open_only=False)) == 1


async def test_i5_the_index_refuses_another_beginning_or_deadline(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    for column in ("t0_us", "opened_us", "report_due_us", "attend_due_us"):
        with pytest.raises(sqlite3.IntegrityError, match="I5"):
            await site.database.write(_move_on, column)


def _move_on(connection: sqlite3.Connection, column: str) -> None:
    connection.execute(f"UPDATE outage SET {column} = {column} + 1")


async def test_each_missed_deadline_is_written_down_once(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    await site.second(2 * 3600 + 60)
    steps = [step.event for step in (await site.desk.show(outage.id))[1]]
    assert steps == ["opened", "report_received", "report_superior_department_overdue", "attendance_overdue"]
    assert view.overdue_words(site.desk.overdue()[0]) == ["report", "attendance"]


# --- restoration ----------------------------------------------------------------------------------------------------


async def test_a_sustained_stream_closes_by_itself(site: Site) -> None:
    outage = (await site.lose_one()).outage
    site.bring_back()
    back_us = site.clock.wall_us()
    changes = await site.second(12)
    assert events(changes) == ["good", "closed"]
    closed = changes[-1].incident
    assert closed.outage.restored_us == back_us + SECOND // 2
    assert closed.outage.state is State.CLOSED
    assert [duty.standing for duty in closed.duties] == [Standing.LAPSED] * 3
    assert site.desk.open_incidents() == ()
    assert await site.desk.incidents() == []
    named = await site.desk.restored(outage.id, "person one")  # the site's own record may follow
    assert (named.outage.restored_by, named.outage.restored_us) == ("person one", closed.outage.restored_us)


async def test_the_sites_record_before_the_proof_holds_if_the_stream_does(site: Site) -> None:
    outage = (await site.lose_one()).outage
    with pytest.raises(NotGoodYet):
        await site.desk.restored(outage.id, "person one")
    site.bring_back()
    await site.second(3)
    assert (await site.desk.restored(outage.id, "person one")).outage.state is State.RESTORED
    assert events(await site.second(10)) == ["closed"]
    assert (await site.find(outage.id)).outage.restored_by == "person one"


async def test_the_sites_record_falls_when_the_feed_is_lost_again(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.attended(outage.id, "person two")
    site.bring_back()
    await site.second(3)
    await site.desk.restored(outage.id, "person one")
    site.lose("cam-a")
    assert events(await site.second(8)) == ["lost_again"]
    again = (await site.find(outage.id)).outage
    assert (again.state, again.restored_us, again.restored_by, again.flaps) == (State.ATTENDED, None, None, 1)
    site.bring_back()
    await site.second(3)
    await site.desk.restored(outage.id, "person one")
    assert events(await site.second(10)) == ["closed"]


async def test_flapping_is_one_incident_with_its_first_beginning(site: Site) -> None:
    outage = (await site.lose_one()).outage
    for _ in range(4):
        site.bring_back()
        await site.second(6)
        site.lose("cam-a")
        await site.second(12)
    [only] = await site.desk.incidents(open_only=False)
    assert (only.outage.id, only.outage.flaps, only.outage.t0_us) == (outage.id, 4, outage.t0_us)
    assert only.outage.report_due_us == outage.report_due_us


async def test_what_came_back_while_the_controller_was_away_is_not_called_overdue(site: Site) -> None:
    await site.lose_one()
    site.pass_unwatched(60)
    site.bring_back()
    back_us = site.clock.wall_us()
    await site.crash(away=3 * 3600)
    site.recorder_alive = False  # the status socket is not there yet
    await site.second(3)
    site.recorder_alive = True
    changes = await site.second(20)
    assert events(changes) == ["good", "closed"]
    closed = changes[-1].incident
    assert closed.outage.restored_us == back_us
    assert [duty.standing for duty in closed.duties] == [Standing.LAPSED] * 3


async def test_late_entries_from_paper_keep_their_true_times(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.second(90 * 60)
    site.bring_back()
    await site.second(15)
    closed = (await site.find(outage.id)).outage
    assert [d.standing for d in (await site.find(outage.id)).reports] == [Standing.MISSED] * 2
    on_paper_us = outage.t0_us + 30 * MINUTE
    entered = await site.desk.report(outage.id, "repair_unit", "person one", on_paper_us)
    late = await site.desk.report(outage.id, "superior_department", "person two")
    there = await site.desk.attended(outage.id, "person one", on_paper_us + HOUR)
    assert entered.outage.reports[0].entered_us == site.clock.wall_us()
    assert [duty.standing for duty in there.duties] == [Standing.MET, Standing.LATE, Standing.MET]
    assert late.outage.state is there.outage.state is State.CLOSED
    assert there.outage.closed_us == closed.closed_us

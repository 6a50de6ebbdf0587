"""I5: the register of outages comes back from the ledger alone, with every deadline, receipt and name as it was."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.archive import rebuilding
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append, entries
from edged.archive.rebuilding import Restored
from edged.base.clock import MINUTE
from edged.outage import book
from edged.outage.duties import Outage
from edged.outage.replay import RELIEVING, carry_out
from edged.retain.replay import replay
from tests.archive_kit import SHANGHAI
from tests.outage_site import Site

# What the feed tells, not the ledger: frames not yet for long enough, returns too short, deadlines seen to pass.
WATCHED = {"good", "report_repair_unit_overdue", "report_superior_department_overdue", "attendance_overdue"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await Site(tmp_path).open(["cam-a", "cam-b", "cam-c"])
    yield site
    site.database.close()


async def a_busy_day(site: Site) -> None:
    """One incident from end to end, one that was taken for restored and is not, one withdrawn, one just begun."""
    desk = site.desk
    first = (await site.lose_one("cam-a")).outage
    now_us = site.clock.wall_us()
    await desk.report(first.id, "superior_department", "officer on duty", now_us)
    await desk.report(first.id, "repair_unit", "engineer on duty", now_us - 1)
    await site.second(30)
    await desk.attended(first.id, "repair person")
    site.bring_back("cam-a")
    await site.second(3)
    site.lose("cam-a")
    await site.second(9)  # too short: the same incident
    site.bring_back("cam-a")
    await site.second(15)
    await desk.restored(first.id, "operator")
    second = (await site.lose_one("cam-b")).outage
    await desk.report(second.id, "repair_unit", "engineer on duty")
    site.bring_back("cam-b")
    await site.second(4)
    await desk.restored(second.id, "operator")
    site.lose("cam-b")
    await site.second(9)
    await site.lose_one("cam-c")
    await site.remove("cam-c")
    await site.second(2)
    await site.lose_one("cam-a")


async def came_back(site: Site, path: Path, proven: bool = True) -> Database:
    """A new index into which the old one's ledger was restored, and carried out."""
    told = await site.database.read(entries, 0, 10**6)
    fresh = Database(path / "fresh.db")
    for entry in told:
        await fresh.write(append, entry.at_us, entry.kind, entry.body)
    await fresh.write(rebuilding.note_restored, Restored(1, len(told), len(told) if proven else 0))
    while await fresh.write(replay, SHANGHAI, carry_out, RELIEVING):
        pass
    return fresh


def as_told(outage: Outage) -> Outage:
    return dataclasses.replace(outage, good_since_us=None, missed=frozenset())


async def test_i5_outages_come_back_with_receipts_names_and_deadlines(site: Site, tmp_path: Path) -> None:
    await a_busy_day(site)
    before = await site.database.read(lambda c: book.outages(c, open_only=False))
    assert [o.closed_us is None for o in before] == [True, False, True, False]
    assert [(o.flaps, len(o.reports), o.restored_by) for o in before] == [
        (0, 0, None),
        (0, 0, None),
        (1, 1, None),
        (1, 2, "operator"),
    ]
    fresh = await came_back(site, tmp_path)
    try:
        after = await fresh.read(lambda c: book.outages(c, open_only=False))
        assert after == [as_told(outage) for outage in before]
        for outage in before:
            steps = await site.database.read(book.history, outage.id)
            told = [step for step in steps if step.event not in WATCHED]
            back = await fresh.read(book.history, outage.id)
            flaps = [step for step in told if step.event == "lost_again"][: outage.closed_us is not None]
            assert back == [step for step in told if step not in flaps]
    finally:
        fresh.close()


async def test_i5_what_was_open_goes_on_and_is_not_opened_twice(site: Site, tmp_path: Path) -> None:
    await a_busy_day(site)
    fresh = await came_back(site, tmp_path)
    lost, site.database = site.database, fresh
    lost.close()
    size = len(await site.ledger())
    site.desk = site.new_desk()
    await site.second(20)
    assert len(await site.ledger()) == size, "nothing is opened, nothing closed"
    for camera in ("cam-a", "cam-b"):
        site.bring_back(camera)
    await site.second(20)
    told = (await site.ledger())[size:]
    assert [entry.kind for entry in told] == [LedgerKind.OUTAGE_CLOSED] * 2


async def test_what_nobody_signed_opens_an_outage_and_relieves_nobody(site: Site, tmp_path: Path) -> None:
    await a_busy_day(site)
    fresh = await came_back(site, tmp_path, proven=False)
    try:
        after = await fresh.read(lambda c: book.outages(c, open_only=False))
        assert all(not outage.reports and outage.attended_us is None and outage.closed_us is None for outage in after)
        assert {outage.camera for outage in after} == {"cam-a", "cam-b", "cam-c"}
    finally:
        fresh.close()


async def test_a_line_that_tells_half_an_outage_is_passed_over(site: Site, tmp_path: Path) -> None:
    outage = (await site.lose_one()).outage
    for body in ({"outage": "x", "camera": "cam-a"}, {"outage": outage.id, "addressee": "press"}, {"outage": "none"}):
        for kind in (LedgerKind.OUTAGE_OPENED, *sorted(RELIEVING)):
            await site.database.write(append, site.clock.wall_us() + MINUTE, kind, body)
    fresh = await came_back(site, tmp_path)
    try:
        (back,) = await fresh.read(lambda c: book.outages(c, open_only=False))
        assert back == as_told(outage)
    finally:
        fresh.close()

"""At eleven million rows a query that scans the table is an outage: whatever the daemon asks, it asks by key.

A box lives through everything that touches its large tables, every statement it runs is caught on the way, and the
database is asked how it would find the rows.
"""

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.archive import coverage, reconcile, segments
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.spans import Span
from edged.model import Cause, RecorderStart, StreamKind
from edged.retain.doom import Grounds
from edged.retain.evidence import Evidence
from edged.retain.explain import explain_at, explain_segment
from edged.retain.holds import HoldExtension
from edged.retain.measured import measured_loads
from edged.retain.raising import raise_floors
from tests.proving import CAMERA, DAY_US, Box, box
from tests.retaining import START_US

# Tables that grow with the footage, or with its history.
LARGE = (
    "segment",
    "ledger",
    "ledger_topic",
    "ledger_node",
    "coverage",
    "fact",
    "camera_day",
    "held_due",
    "compared",
)
# A scan of what a partial index holds is a scan of what is doomed: at most a batch, and what cannot be unlinked.
SMALL = re.compile(r"SCAN segment USING (COVERING )?INDEX segment_doomed")
# A "search" without an index is the whole table, read for its least or greatest value.
SCAN = re.compile(rf"SCAN ({'|'.join(LARGE)})\b|SEARCH segment USING PRIMARY KEY$")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Box]:
    async with box(tmp_path) as built:
        yield built


async def test_nothing_the_daemon_asks_scans_a_large_table(site: Box) -> None:
    asked: set[str] = set()

    def listen(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(asked.add)

    await site.house.database.read(listen)
    await live(site)
    scans = await site.house.database.read(plans, {generalised(sql) for sql in asked})
    assert len(asked) > 100
    assert not scans, "\n".join(scans)


async def test_a_scan_would_be_seen(site: Box) -> None:
    statements = {
        "SELECT max(end_us) FROM segment",
        "SELECT * FROM ledger WHERE kind = 'camera_hour'",
        "SELECT state FROM segment WHERE sha256 = x'00'",
        "UPDATE camera_day SET bytes = 1 WHERE day = 5",
        "SELECT * FROM segment WHERE camera = 1 AND stream = 0 AND start_us > 5",
    }
    assert len(await site.house.database.read(plans, statements)) == 4


def generalised(sql: str) -> str:
    """The statement without its values: each shape is asked about once."""
    return re.sub(r"\b\d+\b|'[^']*'|x'[0-9a-f]*'", lambda value: value[0] if len(value[0]) < 12 else "'x'", sql)


def plans(connection: sqlite3.Connection, statements: set[str]) -> list[str]:
    """The statements that scan a large table, with the line that says so."""
    connection.set_trace_callback(None)
    # A parent's insert looks through its children only while a transaction owes them one; the plan shows it always.
    connection.execute("PRAGMA foreign_keys=OFF")
    return [
        f"{row['detail']}: {sql}"
        for sql in sorted(statements)
        if sql.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
        if SCAN.search(row["detail"]) and not SMALL.search(row["detail"])
    ]


async def live(site: Box) -> None:
    """A camera's footage from intake to its deletion and its proof, with all that happens on the way."""
    house, database, law = site.house, site.house.database, site.house.law
    grounds = Grounds(law=law, clock_trusted=True, proven=frozenset({"disk-0"}))
    whole = Span(START_US, DAY_US + DAY)
    keys = await site.record(START_US, DAY_US + 25 * HOUR)
    await site.down(DAY_US + 26 * HOUR, Cause.CLOSED, DAY_US + 27 * HOUR)
    await site.facts(RecorderStart(recorder="nvr", run=1, at_us=START_US, mono_us=1, boot_id="b", version="0"))
    await site.until(DAY_US + 30 * HOUR)
    await site.hours.one_pass()
    for query in (segments.oldest, segments.newest):
        await database.read(query, CAMERA, StreamKind.MAIN)
    await database.read(segments.begin_by_camera, StreamKind.MAIN)
    await database.read(segments.find_segment, keys[0])
    await database.read(segments.segments_in, CAMERA, StreamKind.MAIN, whole)
    await database.read(segments.totals)
    await database.read(coverage.query, CAMERA, StreamKind.MAIN, whole)
    await database.read(measured_loads, law, house.clock.wall_us())
    await reconcile.reconcile(database, [house.volumes[0].volume], house.clock)
    hold = await house.hold(CAMERA, start_us=DAY_US, end_us=DAY_US + HOUR)
    await house.holds.extend(hold.id, HoldExtension(end_us=DAY_US + 2 * HOUR, document="letter-2", by="person-a"))
    await Evidence(database, house.clock, house.volumes).keep_step()
    await house.camera(CAMERA, "listed", ("key_target",))
    await raise_floors(database, law, house.clock.wall_us())
    await site.bundle(house.path / "kept")
    await site.proofs.prove_segment(keys[0])
    for mirror in site.proofs.mirrors:
        await mirror.catch_up()
    await site.proofs.verify()
    await site.until(DAY_US + 100 * DAY)
    await house.one_pass()
    await house.release(hold.id)
    await Evidence(database, house.clock, house.volumes).keep_step()
    while (await house.one_pass()).erased:
        pass
    await database.read(explain_segment, keys[0], grounds)
    await database.read(explain_at, CAMERA, StreamKind.MAIN, DAY_US + MINUTE, grounds)
    await site.bundle(house.path / "deleted")

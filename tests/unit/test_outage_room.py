"""The desk on a full disk of the index: what it saw is not lost, and told when there is room (I5)."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.archive.database import IndexFull
from edged.archive.ledger import LedgerKind, append
from tests.outage_site import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await Site(tmp_path).open(["cam-a", "cam-b"])
    yield site
    site.database.close()


@pytest.mark.parametrize("seconds_back", [0, 3, 20], ids=["still gone", "back", "back for good"])
async def test_i5_an_outage_that_comes_and_goes_while_the_index_is_full_is_told_afterwards(
    site: Site, seconds_back: int
) -> None:
    await site.second(5)
    last_good_us = site.feeds["cam-a"].committed_us
    await leave_no_room(site)
    site.lose("cam-a")
    await see_nothing_written(site, 20)
    site.bring_back("cam-a")
    await see_nothing_written(site, seconds_back)
    assert site.desk.open_incidents() == ()
    await site.database.read(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    await site.second(30)
    [incident] = await site.desk.incidents(open_only=False)
    assert (incident.outage.camera, incident.outage.t0_us) == ("cam-a", last_good_us)
    assert [entry.kind.value for entry in await site.ledger()] == ["outage_opened", "outage_closed"]


async def leave_no_room(site: Site) -> None:
    """As on a full disk: SQLite refuses every page more, and what was free in the ledger's own is used up."""
    await site.database.read(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
    for length in (300, 1):
        with pytest.raises(IndexFull):
            await enter_on(site, length)


async def enter_on(site: Site, length: int) -> None:
    for number in range(1000):
        await site.database.write(append, number, LedgerKind.CLOCK_EVENT, {"filler": "x" * length})


async def see_nothing_written(site: Site, seconds: int) -> None:
    for _ in range(seconds):
        with contextlib.suppress(IndexFull):
            assert await site.second() == []

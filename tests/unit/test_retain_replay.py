"""I10: what a restored ledger tells of the retention clock, told again to an old copy of the index."""

import sqlite3
from pathlib import Path

from edged.archive import rebuilding
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append
from edged.archive.rebuilding import Restored
from edged.base.clock import DAY
from edged.retain.replay import replay
from edged.retain.timekeeping import tick
from tests.retaining import house


async def test_i10_the_time_since_an_old_copy_is_not_counted_twice(tmp_path: Path) -> None:
    """Six days after the copy was made it comes back in the same boot, while the wall clock stands forty days ahead."""
    async with house(tmp_path) as box:
        began_us = (await tick(box.database, box.clock, lambda: True)).retention_us
        with sqlite3.connect(tmp_path / "copy.sqlite") as copy:
            await box.database.read(lambda connection: connection.backup(copy))
        copy.close()
        box.clock.step_wall(-3600)
        box.clock.advance(6 * 86400)
        box.clock.step_wall(3600)
        await tick(box.database, box.clock, lambda: True)  # the last thing that the ledger hears
        box.clock.step_wall(7200)
        known_us = (await tick(box.database, box.clock, lambda: True)).retention_us
        told = (await box.told(LedgerKind.CLOCK_EVENT))[-1]
        assert told.body["retention_us"] == known_us
        old = Database(tmp_path / "copy.sqlite")
        try:
            number = await old.write(append, told.at_us, LedgerKind.CLOCK_EVENT, told.body)
            await old.write(rebuilding.note_restored, Restored(number, number, number))
            assert await old.write(replay, box.law.tz)
            box.clock.step_wall(40 * 86400)
            time = await tick(old, box.clock, lambda: False)
            assert time.retention_us == known_us
            assert time.retention_us < began_us + 7 * DAY
        finally:
            old.close()

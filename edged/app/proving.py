"""How a controller's ledger begins: nothing is appended before what a lost index had is back and the key is there."""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from edged.archive import rebuilding
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append
from edged.config import Config
from edged.law.packs import shipped_packs
from edged.prove.changes import read_packs, record_changes
from edged.prove.key import LedgerKey, open_key, origin_of
from edged.prove.restore import contradictions, restore_ledger
from edged.retain.replay import replay

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LedgerStart:
    """The key, and how the ledger contradicts what was signed before: empty while all is well."""

    key: LedgerKey
    contradictions: tuple[str, ...]


async def begin_ledger(database: Database, config: Config, now_us: int) -> LedgerStart:
    """Open or make the key, bring back lost entries, and compare with the heads on the volumes. Raises BadKey."""
    recorder = config.recorder
    key = open_key(recorder.state_dir, origin_of(config.site.id, recorder.id))
    folders = [(volume.id, volume.path) for volume in config.volume]
    await restore_ledger(database, folders, recorder.id, key, now_us)
    while await database.write(replay, ZoneInfo(config.site.timezone)):
        pass
    return LedgerStart(key, tuple(await contradictions(database, folders, recorder.id, key)))


def record_settings(connection: sqlite3.Connection, config: Config, now_us: int) -> None:
    """Tell the ledger what is configured otherwise than at the last start, within a write transaction."""
    packs = config.retention.rule_packs or shipped_packs()
    record_changes(connection, config, read_packs(packs), now_us)


def read_again(connection: sqlite3.Connection, config: Config, volumes: Sequence[str], now_us: int) -> list[str]:
    """These volumes have been read and compared: where that was awaited after a loss, the ledger hears of it. Returns
    the volumes that still keep retention read-only; one that is configured no more is not waited for."""
    before = rebuilding.awaited(connection)
    configured = {volume.id for volume in config.volume}
    left = rebuilding.done_with(connection, [*volumes, *(each for each in before if each not in configured)])
    if before != left:
        body = {"volumes": sorted(set(before) - set(left)), "awaited": left}
        append(connection, now_us, LedgerKind.ARCHIVE_REBUILT, body)
    if left:
        log.error(
            "volumes %s were not read since the index was lost: nothing is deleted before they are", ", ".join(left)
        )
    return left

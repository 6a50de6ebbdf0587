"""How a controller's ledger begins: nothing is appended before what a lost index had is back and the key is there."""

import sqlite3
from dataclasses import dataclass

from edged.archive.database import Database
from edged.config import Config
from edged.law.packs import shipped_packs
from edged.prove.changes import read_packs, record_changes
from edged.prove.key import LedgerKey, open_key, origin_of
from edged.prove.restore import contradictions, restore_ledger


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
    return LedgerStart(key, tuple(await contradictions(database, folders, recorder.id, key)))


def record_settings(connection: sqlite3.Connection, config: Config, now_us: int) -> None:
    """Tell the ledger what is configured otherwise than at the last start, within a write transaction."""
    packs = config.retention.rule_packs or shipped_packs()
    record_changes(connection, config, read_packs(packs), now_us)

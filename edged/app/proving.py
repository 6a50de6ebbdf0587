"""How a controller's ledger begins: nothing is appended before what a lost index had is back and the key is there."""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edged.archive import rebuilding
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append
from edged.config import Config
from edged.law.packs import shipped_packs
from edged.outage.replay import RELIEVING, carry_out
from edged.prove.changes import read_packs, record_changes
from edged.prove.key import LedgerKey, open_key, origin_of
from edged.prove.restore import contradictions, restore_ledger
from edged.prove.succession import kept_heads, signed_by, tell_keys
from edged.retain.replay import replay

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LedgerStart:
    """The key, and how the ledger contradicts what was signed before: empty while all is well.

    `unsigned` tells how many entries have just come back that no key answers for.
    """

    key: LedgerKey
    contradictions: tuple[str, ...]
    unsigned: int = 0


async def begin_ledger(
    database: Database, config: Config, now_us: int, earlier: Sequence[Ed25519PublicKey] = ()
) -> LedgerStart:
    """Open or make the key, bring back lost entries, and compare with the heads on the volumes. Raises BadKey.

    `earlier` are public keys that signed for this box before it lost its key, as somebody vouches: what is under their
    heads is believed like what is under our own.
    """
    recorder = config.recorder
    key = open_key(recorder.state_dir, origin_of(config.site.id, recorder.id))
    folders = [(volume.id, volume.path) for volume in config.volume]
    restored = await restore_ledger(database, folders, recorder.id, key, now_us, earlier)
    notes = kept_heads(folders, recorder.id)
    vouched = await database.read(signed_by, notes, earlier) if earlier else 0
    if vouched:
        await database.write(rebuilding.believe, vouched)
    while await database.write(replay, ZoneInfo(config.site.timezone), carry_out, RELIEVING):
        pass
    against = await contradictions(database, folders, recorder.id, [key.public, *earlier])
    await tell_keys(database, folders, recorder.id, key, now_us)
    unsigned = 0 if restored is None or restored.signed or vouched else restored.last - restored.first + 1
    if unsigned:
        log.error(
            "%d ledger entries came back that this box's key has not signed: no release, removal or deletion in them is"
            " believed. If the key was lost, `edged archive rebuild --old-key` takes the public key that signed them",
            unsigned,
        )
    return LedgerStart(key, tuple(against), unsigned)


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

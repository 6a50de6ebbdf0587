"""What happens when the key that signs the ledger is another than before: its disk was lost, or somebody replaced it.

The ledger goes on under the new key, and an entry names the newest head of the old one. So whoever has the old public
key can still find out that nothing it signed was rewritten: the entry's head is the beginning of the ledger, provably.
A head is only evidence for those who know its key: that one is named here says nothing about whose it was.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edged.archive.database import Database
from edged.archive.ledger import KEY_TOPIC, LedgerKind, about, append, entries
from edged.prove.checkpoints import contradiction, latest
from edged.prove.key import LedgerKey
from edged.prove.mirror_files import MirrorFolder
from edged.prove.verify_retention import Altered, parse_head, signatures, verify_checkpoint

log = logging.getLogger(__name__)


def kept_heads(folders: Sequence[tuple[str, Path]], recorder: str) -> list[str]:
    """The signed heads beside the mirrors, those of earlier keys included; a volume that cannot be read has none."""
    found = []
    for _, path in folders:
        try:
            found += MirrorFolder(path, recorder).checkpoints()
        except OSError:
            continue
    return found


async def tell_keys(
    database: Database, folders: Sequence[tuple[str, Path]], recorder: str, key: LedgerKey, now_us: int
) -> int:
    """Tell the ledger of every earlier key of which a head is left and which it does not name yet; returns how many."""
    return await database.write(_tell, kept_heads(folders, recorder), key, now_us)


def signed_by(connection: sqlite3.Connection, notes: Iterable[str], keys: Sequence[Ed25519PublicKey]) -> int:
    """How far the ledger is what one of `keys` has signed, by these notes and those that its own entries name."""
    sizes = [0]
    for note in [*notes, *_named(connection)]:
        for key in keys:
            try:
                size = verify_checkpoint(note, key).size
                sizes += [] if contradiction(connection, note) else [size]
            except Altered:
                continue
    return max(sizes)


def _tell(connection: sqlite3.Connection, notes: Iterable[str], key: LedgerKey, now_us: int) -> int:
    known = {key.id, *(signer for note in _named(connection) for signer in _signers(note, key.origin))}
    newest: dict[str, str] = {}
    for note in [*notes, *filter(None, [latest(connection)])]:
        for signer in _signers(note, key.origin) - known:
            if why := contradiction(connection, note):
                log.error("a head signed by another key (%s) is left, and the ledger is not the one: %s", signer, why)
            elif signer not in newest or parse_head(newest[signer]).size < parse_head(note).size:
                newest[signer] = note
    if newest:
        body = {"key": key.verifier, "heads": sorted(set(newest.values()))}
        append(connection, now_us, LedgerKind.KEY_CHANGED, body)
        log.warning("the key that signs the ledger was changed; publish the new one (%s)", key.verifier)
    return len(newest)


def _named(connection: sqlite3.Connection) -> list[str]:
    """The heads that earlier entries name."""
    told = [entry for _, seq in about(connection, KEY_TOPIC) for entry in entries(connection, seq - 1, 1)]
    return [str(note) for entry in told for note in entry.body["heads"]]


def _signers(note: str, origin: str) -> set[str]:
    """The ids of the keys that signed a head of this ledger; empty for anything else."""
    try:
        if parse_head(note).origin != origin:
            return set()
        return {raw[:4].hex() for name, raw in signatures(note) if name == origin}
    except Altered:
        return set()

"""After a lost or old index: brings back the ledger's entries that a volume's mirror still has.

Runs before this start's first entry, so that the ledger goes on where it was and every head ever published stays
true. It takes only entries that continue what the index has, from a mirror that agrees with the signed head beside it;
what contradicts either is left alone, for the mirror to set aside and for people to look at.
"""

import json
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edged.archive import rebuilding, tree
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append, line_of, lines, put
from edged.base.files import canonical_json
from edged.prove.checkpoints import contradicted_by, latest
from edged.prove.key import LedgerKey
from edged.prove.mirror_files import LINES, MirrorFolder
from edged.prove.offline import check_mirror
from edged.prove.verify_retention import Altered, key_pem, parse_head, verify_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back. `signed` tells whether a key of this box had signed a head of what was brought back, `proven` how
    far the newest such head reaches, 0 without one."""

    volume: str
    first: int
    last: int
    signed: bool
    proven: int


async def restore_ledger(
    database: Database,
    folders: Sequence[tuple[str, Path]],
    recorder: str,
    key: LedgerKey,
    now_us: int,
    trusted: Sequence[Ed25519PublicKey] = (),
) -> Restored | None:
    """Bring back what the longest fitting mirror among `folders` (volume id, path) has beyond the index.

    `trusted` are keys that signed for this box before `key`, as somebody vouches. One transaction for each file of the
    mirror; an interrupted restore goes on at the next start. Each has retention wait for all of `folders` (I1), and the
    last tells the ledger of the whole.
    """
    size = await database.read(tree.size)
    waited_for = [volume for volume, _ in folders]
    mirrors = [(volume, MirrorFolder(path, recorder)) for volume, path in folders]
    keys = [key.public, *trusted]
    found = [(_signer(mirror, key.origin, keys), _size(mirror), volume, mirror) for volume, mirror in mirrors]
    # What this box has signed goes before what is longer: anybody can write a long file.
    for signer, count, volume, folder in sorted(found, key=lambda each: (each[0] is not None, each[1]), reverse=True):
        if count <= size:
            continue
        if _foreign(folder, key.origin):
            log.error("volume %s: its copy of the ledger belongs to another recorder; it is not read", volume)
            continue
        try:
            check = check_mirror(folder.path, None if signer is None else key_pem(signer))
            if check.damage:
                raise Altered(check.damage[0])
            signed = signer is not None
            proven = check.head.size if signed and check.head is not None else 0
            *files, end = range(size // LINES, folder.numbers()[-1] + 1)
            for number in files:
                await database.write(_take, number, folder.read(number).lines, proven, waited_for)
            origin = {"volume": volume, "signed": signed, "proven": proven}
            restored = await database.write(_take_last, end, folder.read(end).lines, proven, waited_for, origin, now_us)
        except (Altered, OSError) as error:
            log.error("volume %s: its copy of the ledger cannot be brought back: %s", volume, error)
            continue
        log.warning("the index had lost %d ledger entries; volume %s had them", restored.last - size, volume)
        return Restored(volume, restored.first, restored.last, signed, proven)
    return None


async def contradictions(
    database: Database, folders: Sequence[tuple[str, Path]], recorder: str, keys: Sequence[Ed25519PublicKey]
) -> list[str]:
    """How the ledger contradicts heads that `keys`, this box's, have signed: its newest, and those beside mirrors."""
    found = []
    own = await database.read(latest)
    if own is not None and (why := await database.read(contradicted_by, own, keys)):
        found.append(why)
    for volume, path in folders:
        try:
            notes = MirrorFolder(path, recorder).checkpoints()
        except OSError:
            continue  # a volume that cannot be read tells nothing; it is asked again at the next start
        whys = [await database.read(contradicted_by, note, keys) for note in notes]
        found += [f"volume {volume}: {why}" for why in whys if why]
    return found


def _size(folder: MirrorFolder) -> int:
    try:
        return folder.size()
    except OSError:
        return 0


def _signer(folder: MirrorFolder, origin: str, keys: Sequence[Ed25519PublicKey]) -> Ed25519PublicKey | None:
    """Which of `keys` signed the head there; None where none did: the state folder, and the key in it, may be lost like
    the index."""
    for key in keys:
        try:
            note = folder.checkpoint()
            if note is not None and verify_checkpoint(note, key).origin == origin:
                return key
        except (Altered, OSError):
            continue
    return None


def _foreign(folder: MirrorFolder, origin: str) -> bool:
    """Whether the head there is another log's."""
    try:
        note = folder.checkpoint()
        return note is not None and parse_head(note).origin != origin
    except (Altered, OSError):
        return False


def _take_last(
    connection: sqlite3.Connection,
    number: int,
    told: list[bytes],
    proven: int,
    waited_for: list[str],
    origin: dict[str, object],
    now_us: int,
) -> rebuilding.Restored:
    """Enter the last file, and the entry that tells of all that came back, however often that was interrupted."""
    _take(connection, number, told, proven, waited_for)
    restored = rebuilding.restored_ranges(connection)[-1]
    append(connection, now_us, LedgerKind.LEDGER_RESTORED, origin | {"first": restored.first, "last": restored.last})
    return restored


def _take(connection: sqlite3.Connection, number: int, told: list[bytes], proven: int, waited_for: list[str]) -> None:
    """Enter the lines of one file beyond what the index has. Raises Altered where they do not continue it."""
    first = number * LINES
    known = lines(connection, first, len(told))
    doubted: list[rebuilding.Restored] = []
    if told[: len(known)] != known:
        raise Altered("it contradicts the index")
    for offset, line in enumerate(told[len(known) :], start=first + len(known) + 1):
        try:
            entry = json.loads(line)
            seq, at_us, kind, body = entry["seq"], entry["at_us"], entry["kind"], entry["body"]
            same = line_of(seq, at_us, kind, canonical_json(body).decode()) == line
        except (ValueError, KeyError, TypeError) as error:
            raise Altered(f"entry {offset} is damaged") from error
        if seq != offset or not same:
            raise Altered(f"entry {offset} is damaged")
        put(connection, seq, at_us, kind, body)
        match kind, body:
            case LedgerKind.LEDGER_RESTORED, {"first": int(begun), "last": int(ended), "proven": int(reached)}:
                doubted.append(rebuilding.Restored(begun, ended, reached))
    if len(told) > len(known):
        rebuilding.note_restored(connection, rebuilding.Restored(first + len(known) + 1, first + len(told), proven))
        # With the first of them: a start that is cut off here must not delete by an index that has only half of it.
        rebuilding.wait_for(connection, waited_for)
    # What no key answered for when it was brought back once is not proven by the heads that were signed since.
    rebuilding.doubt(connection, doubted)

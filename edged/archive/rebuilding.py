"""What an index remembers of having been lost: which ledger entries came back from the volumes, and what is awaited.

Until every volume with an earlier life has been read and compared, retention is read-only (DESIGN 7): the sweep asks
`awaited`. What came back without this box's signature over it is believed where it keeps more, never where it keeps
less: anybody who can write to a volume can write such lines.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from edged.archive import meta

_AWAITED = "rebuild.awaited"  # meta: JSON array of volume ids
_RESTORED = "rebuild.restored"  # meta: JSON array of [first, last, proven]
_REPLAYED = "rebuild.replayed"  # meta: the last restored entry that has been carried out


class Restored(NamedTuple):
    """Ledger entries `first` to `last` came from a volume; those up to `proven` stand under a head that was signed."""

    first: int
    last: int
    proven: int


def wait_for(connection: sqlite3.Connection, volumes: Iterable[str]) -> None:
    """Retention is read-only until these volumes have been read and compared, within the caller's transaction."""
    meta.write_json(connection, _AWAITED, sorted({*awaited(connection), *volumes}))


def awaited(connection: sqlite3.Connection) -> list[str]:
    """The volumes that still have to be read and compared before anything may be deleted; empty where all is well."""
    found: list[str] = meta.read_json(connection, _AWAITED) or []
    return found


def done_with(connection: sqlite3.Connection, volumes: Iterable[str]) -> list[str]:
    """These volumes have been read and compared; returns what is still awaited."""
    left = sorted(set(awaited(connection)) - set(volumes))
    meta.write_json(connection, _AWAITED, left)
    return left


def note_restored(connection: sqlite3.Connection, restored: Restored) -> None:
    """Remember where entries came from, in the transaction that enters them."""
    known = restored_ranges(connection)
    if known and known[-1].last + 1 == restored.first:
        restored = Restored(known.pop().first, restored.last, restored.proven)
    meta.write_json(connection, _RESTORED, [*known, restored])


def doubt(connection: sqlite3.Connection, ranges: Iterable[Restored]) -> None:
    """Of what has just been entered, these entries are proven only as far as they say."""
    first = [one for one in ranges if one.last > one.proven]
    if first:  # before what was entered last, which the next file goes on with
        meta.write_json(connection, _RESTORED, [*first, *restored_ranges(connection)])


def believe(connection: sqlite3.Connection, size: int) -> None:
    """Somebody vouches for the key that signed a head of `size` entries: so far all that came back is proven."""
    ranges = [one._replace(proven=max(one.proven, min(one.last, size))) for one in restored_ranges(connection)]
    meta.write_json(connection, _RESTORED, ranges)


def restored_ranges(connection: sqlite3.Connection) -> list[Restored]:
    """Which entries ever came back from a volume; one that is in several ranges is as doubtful as the worst says. Empty
    on a box that has never lost its index."""
    return [Restored(*one) for one in meta.read_json(connection, _RESTORED) or []]


def proven(ranges: Iterable[Restored], seq: int) -> bool:
    """Whether an entry was made by this index, or stands under a head that was signed."""
    return not any(one.first <= seq <= one.last and seq > one.proven for one in ranges)


def to_replay(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """The first and the last restored entry that have not been carried out yet, None where there is none."""
    ranges = restored_ranges(connection)
    done: int = meta.read_json(connection, _REPLAYED) or 0
    left = sorted(one for one in ranges if one.last > done)
    return (max(done + 1, left[0].first), left[0].last) if left else None


def replayed(connection: sqlite3.Connection, up_to: int) -> None:
    """The restored entries up to this one have been carried out."""
    meta.write_json(connection, _REPLAYED, up_to)

"""Whether a volume's footage stands in another box's ledger: its floors are then not those of this index.

A disk that another recorder wrote brings its files and journals along, but not the floors they were stamped with: those
stand in that recorder's ledger, and a copy of it on the disk. A box that takes the ledger over knows them
(archive/told.py); one that does not would count by its own law (I1).
"""

from pathlib import Path

from edged.archive.layout import LEDGER

_FIRST = f"{1:012d}.ndjson"
_LONGEST = 64 * 1024  # bytes of an entry


def foreign_ledger(volume: Path, first_line: bytes) -> str | None:
    """The recorder of a ledger on the volume that does not begin with `first_line`, as the one of this index does.

    None where there is none. A ledger kept under an earlier id of this recorder begins as it always did.
    """
    for file in sorted((volume / LEDGER).glob(f"*/{_FIRST}")):
        try:
            with file.open("rb") as lines:
                found = lines.readline(_LONGEST)
        except OSError:
            continue
        if found.endswith(b"\n") and found[:-1] != first_line:
            return file.parent.name
    return None

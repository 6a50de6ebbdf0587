"""hold.json: each hold's own file on every volume, from which a lost index learns the hold again.

    <volume>/held/<hold>/hold.json

Anybody who can write to a volume can write such a file. So it can only add to what the ledger knows: a hold that the
ledger does not name is entered, a wider one is extended, and one that says less than the ledger is not believed.
"""

import json
import logging
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from edged.archive.layout import is_camera_id
from edged.archive.ledger import LedgerKind, append
from edged.archive.roster import camera_no
from edged.archive.volumes import Volume
from edged.base.files import canonical_json
from edged.retain.holds import Hold, list_holds

log = logging.getLogger(__name__)

HELD = "held"
SIDECAR = "hold.json"
_HOLD = re.compile(r"hold-([1-9][0-9]{0,17})", re.ASCII)
_TEXTS = ("case", "authority", "document", "placed_by")
_LONGEST = 64 * 1024  # bytes; a hold over thousands of cameras is far smaller
_LIMIT_US = 1 << 62


class Sidecar(NamedTuple):
    """A hold as its file tells it; who has released half of it is not believed from there."""

    id: str
    cameras: tuple[str, ...]
    start_us: int
    end_us: int | None
    case: str
    authority: str
    document: str
    placed_by: str
    placed_us: int
    remind_us: int | None

    @property
    def no(self) -> int:
        return int(self.id.removeprefix("hold-"))


def sidecar(hold: Hold) -> bytes:
    """The content of a hold's hold.json."""
    fields = {name: getattr(hold, name) for name in Sidecar._fields[2:]}
    fields |= {"release1_by": hold.release1_by, "release1_us": hold.release1_us}
    return canonical_json({"v": 1, "hold": hold.id, "cameras": list(hold.cameras), **fields}) + b"\n"


def read_sidecar(file: Path) -> Sidecar | None:
    """The hold a file tells of; None, with a word in the log, where it cannot be understood."""
    try:
        with file.open("rb") as opened:
            told = json.loads(opened.read(_LONGEST))
        return _understood(told, file.parent.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        log.error("%s of %s cannot be understood: that hold is not known here", SIDECAR, file.parent.name)
        return None


def restore_holds(connection: sqlite3.Connection, volumes: Iterable[Volume], now_us: int) -> int:
    """Enter what only the files beside the links still know, within the caller's transaction; returns how many
    holds came back or grew.

    To be called before anything may be deleted or placed, and after the ledger's own holds are back. A hold comes back
    in force, unreleased: whoever had released half of it must say so again.
    """
    restored = 0
    for volume in volumes:
        if volume.fenced:
            continue
        for file in sorted((volume.path / HELD).glob(f"*/{SIDECAR}")):
            told = read_sidecar(file)
            if told is None:
                continue
            known = next((hold for hold in list_holds(connection, True) if hold.id == told.id), None)
            if known is None:
                _enter(connection, told, now_us)
                restored += 1
            elif known.released_us is None:
                restored += _compare(connection, volume.id, known, told, now_us)
    if restored:
        log.warning("%d evidence holds came back from the volumes: the index did not know them so", restored)
    return restored


def _understood(told: dict[str, Any], name: str) -> Sidecar:
    """Raises ValueError, KeyError or TypeError: nothing that the index would refuse, or that leads out of a volume."""
    cameras, end_us, remind_us = told["cameras"], told["end_us"], told.get("remind_us")
    times = [told["start_us"], told["placed_us"], *(at for at in (end_us, remind_us) if at is not None)]
    good = (
        told["v"] == 1
        and told["hold"] == name
        and _HOLD.fullmatch(name) is not None
        and isinstance(cameras, list)
        and len(cameras) > 0
        and all(isinstance(camera, str) and is_camera_id(camera) for camera in cameras)
        and all(type(at) is int and 0 <= at < _LIMIT_US for at in times)
        and (end_us is None or end_us > told["start_us"])
        and all(isinstance(told[text], str) and told[text].strip() for text in _TEXTS)
    )
    if not good:
        raise ValueError(name)
    fields = {field: told[field] for field in Sidecar._fields[2:-1]}
    return Sidecar(id=name, cameras=tuple(sorted(set(cameras))), remind_us=remind_us, **fields)


def _enter(connection: sqlite3.Connection, told: Sidecar, now_us: int) -> None:
    connection.execute(
        "INSERT INTO hold (no, id, case_ref, authority, document, start_us, end_us, placed_by, placed_us, remind_us)"
        " VALUES (:no, :id, :case, :authority, :document, :start_us, :end_us, :placed_by, :placed_us, :remind_us)",
        {"no": told.no, **told._asdict()},
    )
    _add_cameras(connection, told.no, told.cameras, now_us)
    body = {"hold": told.id, **told._asdict(), "cameras": list(told.cameras), "restored": True}
    del body["id"], body["placed_us"]
    append(connection, now_us, LedgerKind.HOLD_PLACED, body)


def _compare(connection: sqlite3.Connection, volume: str, known: Hold, told: Sidecar, now_us: int) -> bool:
    """Extend a hold whose file says more; one that says less, or otherwise, is reported and not believed."""
    same = all(getattr(known, name) == getattr(told, name) for name in (*_TEXTS, "placed_us"))
    open_end = known.end_us is None or told.end_us is None
    end_us = None if open_end else max(known.end_us or 0, told.end_us or 0)
    wider = (tuple(sorted({*known.cameras, *told.cameras})), min(known.start_us, told.start_us), end_us)
    if not same or wider != (told.cameras, told.start_us, told.end_us):
        log.error(
            "volume %s: %s of %s says less than the ledger, or something else; the ledger is believed. Find out who"
            " changed it",
            volume,
            SIDECAR,
            known.id,
        )
    if not same or wider == (known.cameras, known.start_us, known.end_us) or known.release1_by is not None:
        return False
    _add_cameras(connection, told.no, wider[0], now_us)
    connection.execute("UPDATE hold SET start_us = ?, end_us = ? WHERE id = ?", (*wider[1:], known.id))
    body = {"hold": known.id, "cameras": list(wider[0]), "start_us": wider[1], "end_us": wider[2], "restored": True}
    append(connection, now_us, LedgerKind.HOLD_EXTENDED, body)
    return True


def _add_cameras(connection: sqlite3.Connection, hold_no: int, cameras: Iterable[str], now_us: int) -> None:
    numbers = [camera_no(connection, camera, create_from_journal_at_us=now_us) for camera in cameras]
    connection.executemany(
        "INSERT INTO hold_camera (hold, camera) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(hold_no, number) for number in numbers],
    )

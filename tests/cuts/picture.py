"""What a box holds, as plain values that two boxes can be compared by; and whether it agrees with itself.

Left out is what differs between two runs that did the same: numbers of ledger entries, and the instants of an act.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from edged.archive import tree
from edged.archive.database import Database
from edged.archive.deletions import named
from edged.archive.journal import BadLine, decode
from edged.archive.layout import segment_path
from edged.archive.ledger import LedgerKind, lines
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.segments import STREAM_OF, SegmentKey
from edged.archive.volumes import Volume
from edged.base.immutable import is_immutable
from edged.model import SegmentSealed
from edged.prove.audit import audit_ledger
from edged.prove.key import open_key, origin_of
from edged.prove.mirror import Mirror
from edged.prove.mirror_files import MirrorFolder
from edged.prove.offline import check_mirror
from edged.record.assignment import read_assignment
from edged.record.process import assignment_path
from tests.cuts.box import ACT_US, RECORDER, CutBox, RestingClock

Picture = dict[str, Any]
Entry = tuple[str, dict[str, Any]]  # kind and body
# Told at every start or by the hour, whatever else was done.
_OF_THE_RUN = {
    LedgerKind.DAEMON_START,
    LedgerKind.DAEMON_STOP,
    LedgerKind.CLOCK_EVENT,
    LedgerKind.CLOCK_READING,
    LedgerKind.CAMERA_HOUR,
}
_OF_CHANCE: dict[str, set[str]] = {
    LedgerKind.CONFIG_CHANGED: {"sha256"},  # salted by each index anew
    LedgerKind.VOLUME_ADDED: {"uuid", "how"},  # "adopted" where the cut came between its file and its row
    LedgerKind.CAMERA_HOUR: {"supersedes"},
    LedgerKind.CAMERA_RESUMED: {"free_bytes"},
}
_OF_THE_INSTANT = {"retention_us", "placed_us", "release1_us", "released_us"}


async def take(box: CutBox) -> tuple[Picture, list[str]]:
    """The picture of a box that nothing runs on, and what is wrong on it: one sentence each."""
    database = Database(box.state / "index.sqlite3")
    try:
        index = await database.read(_index)
        told = await database.read(lines, 0, 10**6)
        wrong = await _ledger(box, database, index["volume"], told)
    finally:
        database.close()
    files = {str(path.relative_to(box.volume)): _hash(path) for path in sorted(box.volume.glob("segments/*/*/*"))}
    journalled = _journalled(box.volume)
    entries = [(entry["kind"], entry["body"]) for entry in map(json.loads, told)]
    left_out = (_OF_THE_RUN - box.telling) | box.indifferent
    picture: Picture = {
        "files": files,
        "rows": index["rows"],
        "holds": index["holds"],
        "links still due": index["due"],
        "links still to be listed": index["unlisted"],
        "held": _held(box.volume),
        "immutable": [str(path.relative_to(box.volume)) for path in _files(box.volume) if is_immutable(path)],
        "roster": index["roster"],
        "stopped": index["stopped"],
        "assigned": _assigned(box),
        "altered": sorted(index["altered"]),
        "retention clock behind by": index["clock"],
        "set aside": [_hash(path) for path in sorted(box.volume.glob("ledger/*/*.differs-*"))],
        "totals": index["totals"],
        "days": index["days"],
        "coverage": index["coverage"],
        "ledger": sorted(_line(kind, body) for kind, body in entries if kind not in left_out),
        "journalled": sorted(str(key) for key in journalled),
        "unfinished files": sorted(
            str(path.relative_to(box.root)) for path in box.root.rglob("*") if path.suffix in (".part", ".tmp", ".copy")
        ),
    }
    wrong += _disagreements(files, index["rows"], journalled, entries)
    return picture, wrong + ([] if box.decays else _unlike(files, index["rows"]))


def differences(one: Picture, other: Picture) -> list[str]:
    """How `one` is not `other`: one line each."""
    found = []
    for name in one:
        a, b = one[name], other[name]
        if a == b:
            continue
        if isinstance(a, dict):
            found += [
                f"{name}: {k}: {a.get(k)} instead of {b.get(k)}" for k in sorted({*a, *b}) if a.get(k) != b.get(k)
            ]
        elif isinstance(a, list):
            more, less = Counter(map(str, a)) - Counter(map(str, b)), Counter(map(str, b)) - Counter(map(str, a))
            found += [f"{name}: too much: {each}" for each in more] + [f"{name}: not there: {each}" for each in less]
        else:
            found.append(f"{name}: {a} instead of {b}")
    return found


def _index(connection: sqlite3.Connection) -> dict[str, Any]:
    rows = {}
    for row in connection.execute(
        "SELECT segment.*, camera.id AS name, floor.days AS days FROM segment JOIN camera ON camera.no = segment.camera"
        " JOIN floor ON floor.no = segment.floor"
    ):
        file = segment_path(row["name"], STREAM_OF[row["stream"]], row["start_us"], row["run"], row["seq"])
        state = {SEALED: "sealed", MISSING: "missing", DOOMED: "doomed"}[row["state"]]
        rows[str(file)] = [state, row["sha256"].hex(), row["bytes"], row["days"], row["keep_until_us"]]
    holds = [
        dict(row)
        for row in connection.execute(
            "SELECT hold.*, (SELECT group_concat(camera) FROM hold_camera WHERE hold = no) AS cameras FROM hold"
        )
    ]
    altered = connection.execute("SELECT camera.id, stream, start_us, run, seq FROM altered JOIN camera ON no = camera")
    volume = connection.execute("SELECT no, id, uuid FROM volume").fetchone()

    def table(statement: str) -> list[list[Any]]:
        return [list(row) for row in connection.execute(statement)]

    return {
        "rows": rows,
        "holds": [{k: v for k, v in hold.items() if k not in _OF_THE_INSTANT} for hold in holds],
        "due": table("SELECT * FROM held_due"),
        "unlisted": table("SELECT * FROM held_unlisted"),
        "totals": table("SELECT * FROM total ORDER BY 1, 2, 3"),
        "days": table(
            "SELECT camera, stream, day, segments, bytes, frames, deleted_segments, deleted_bytes FROM camera_day"
            " ORDER BY 1, 2, 3"
        ),
        "coverage": table("SELECT * FROM coverage ORDER BY 1, 2, 3"),
        "volume": tuple(volume),
        "roster": table(
            "SELECT id, source, state, place, keep_days, volume, adopted_us IS NULL FROM camera ORDER BY id"
        ),
        "stopped": table("SELECT camera, volume, bytes_per_s FROM space_stop ORDER BY camera"),
        "altered": {str(segment_path(camera, STREAM_OF[stream], *rest)) for camera, stream, *rest in altered},
        "clock": table("SELECT wall_us - retention_us FROM retention_clock"),
    }


async def _ledger(box: CutBox, database: Database, volume: tuple[int, str, str], told: list[bytes]) -> list[str]:
    """I3, I7: the entries, the tree, every head and the copy on the volume agree, and the copy reaches the end."""
    wrong = [f"index: {row[0]}" for row in await database.read(_checked) if row[0] != "ok"]
    key = open_key(box.state, origin_of("test-site", RECORDER))
    no, name, uuid = volume
    mirror = Mirror(database, RestingClock(ACT_US), Volume(name, no, uuid, box.volume), RECORDER, key)
    wrong += (await audit_ledger(database, key, [mirror], await database.read(tree.size))).problems
    mirror.close()
    folder = MirrorFolder(box.volume, RECORDER)
    wrong += check_mirror(folder.path, key.pem.encode()).problems
    if folder.read(0).lines != told:
        wrong.append("the copy of the ledger is not the ledger")
    return wrong


def _checked(connection: sqlite3.Connection) -> list[tuple[str]]:
    return [
        *map(tuple, connection.execute("PRAGMA integrity_check")),
        *((f"{tuple(row)} hangs in the air",) for row in connection.execute("PRAGMA foreign_key_check")),
    ]


def _held(volume: Path) -> dict[str, str]:
    """Every file below held/: a link's content, and a sidecar's without its instants."""
    found = {}
    for path in sorted((volume / "held").rglob("*")):
        name = str(path.relative_to(volume))
        if path.is_dir():
            found[name] = "folder"
        elif path.name == "hold.json":
            fields = json.loads(path.read_bytes())
            found[name] = str({k: v for k, v in fields.items() if k not in _OF_THE_INSTANT})
        else:
            found[name] = _hash(path)
    return found


def _files(volume: Path) -> list[Path]:
    return [path for path in sorted(volume.rglob("*")) if path.is_file()]


def _assigned(box: CutBox) -> list[str]:
    """What the recorder is told to record, but for how often that was written."""
    try:
        wanted = read_assignment(assignment_path(box.state, RECORDER))
    except FileNotFoundError:
        return []
    return sorted(map(str, wanted.streams))


def _journalled(volume: Path) -> Counter[SegmentKey]:
    found: Counter[SegmentKey] = Counter()
    for day in sorted(volume.glob("journal/*/*.ndjson")):
        for line in day.read_bytes().rpartition(b"\n")[0].split(b"\n"):
            try:
                fact = decode(line)
            except BadLine:
                continue
            if isinstance(fact, SegmentSealed):
                found[SegmentKey(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)] += 1
    return found


def _disagreements(
    files: dict[str, str],
    rows: dict[str, list[Any]],
    journalled: Counter[SegmentKey],
    entries: list[Entry],
) -> list[str]:
    """I7: journal = files = index. I3: what is journalled and gone was announced, and nothing else was."""
    there = {name: "sealed" if name in files else "missing" for name in rows}
    wrong = [f"{name} is {there[name]}, its row says {row[0]}" for name, row in rows.items() if row[0] != there[name]]
    wrong += [f"{name} is there and not indexed" for name in files if name not in rows]
    wrong += [f"{key} has {count} journal lines" for key, count in journalled.items() if count > 1]
    deleted, missed = _deleted(entries), _missed(entries)
    by_file = {str(segment_path(*key)): str(key) for key in journalled}
    wrong += [f"{name} is there and not journalled" for name in files if name not in by_file]
    for name, key in by_file.items():
        if name not in files and key not in deleted | missed:
            wrong.append(f"{name} is gone and no ledger entry says why")
        if name in files and key in deleted:
            wrong.append(f"{name} is there, and the ledger says it was deleted")
    return wrong


def _unlike(files: dict[str, str], rows: dict[str, list[Any]]) -> list[str]:
    return [f"{name} has not the hash of its row" for name in files if name in rows and rows[name][1] != files[name]]


def _deleted(entries: list[Entry]) -> set[str]:
    """The segments that the ledger says are gone."""
    found: set[str] = set()
    for kind, body in entries:
        if kind == LedgerKind.SEGMENTS_DELETED:
            found |= {str(key) for key, _ in named(body)}
        elif kind == LedgerKind.SEGMENT_SPARED:
            found.discard(body["segment"])
    return found


def _missed(entries: list[Entry]) -> set[str]:
    """The segments that the ledger says were found missing."""
    return {key for kind, body in entries if kind == LedgerKind.FOOTAGE_MISSING for key in body["segments"]}


def _line(kind: str, body: dict[str, Any]) -> str:
    without = _OF_THE_INSTANT | _OF_CHANCE.get(kind, set())
    return f"{kind} {json.dumps({k: v for k, v in body.items() if k not in without}, sort_keys=True)}"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Gathers what proves one camera-day to somebody who has neither this box nor a network.

The bundle is a few small files (see `edged.prove.verify_retention`, which reads them): the signed head, the public
key, the ledger entries about the day with their inclusion proofs, and what the index says about each file now. No
footage (I8), no address (I9).
"""

import datetime as dt
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from edged.archive import coverage
from edged.archive.fixity import findings
from edged.archive.ledger import KEY_TOPIC, LedgerKind, about, append, camera_topic, deletion_topic, hour_topic
from edged.archive.roster import get
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.segments import SegmentKey, segment_file, segments_in
from edged.archive.told import floors_of
from edged.base.clock import HOUR, SECOND
from edged.base.spans import Span
from edged.model import StreamKind
from edged.prove.checkpoints import sign_head
from edged.prove.key import LedgerKey
from edged.prove.proofs import NotOnRecord, consistency, entry_line, inclusion
from edged.prove.verify_retention import parse_head

VERSION = 1
_STATES = {SEALED: "kept", MISSING: "missing", DOOMED: "doomed"}
_MOST = 100_000  # segments of a day: more than one a second


def day_span(date: dt.date, zone: ZoneInfo) -> Span:
    """The civil day at the site, 23 to 25 hours long."""
    ends = [dt.datetime.combine(day, dt.time(), zone) for day in (date, date + dt.timedelta(days=1))]
    return Span(*(round(end.timestamp()) * SECOND for end in ends))


class Day(NamedTuple):
    """What a bundle says of a camera-day, and the numbers of the ledger entries that prove it."""

    about: dict[str, Any]
    entries: frozenset[int]


def gather_day(
    connection: sqlite3.Connection,
    camera: str,
    stream: StreamKind,
    date: dt.date,
    zone: ZoneInfo,
    rules: Mapping[str, str],
) -> Day:
    """All that is known of the day. `rules` tells what each rule id means.

    Raises UnknownCamera, and NotOnRecord where no hour of the day has been told to the ledger yet.
    """
    get(connection, camera)
    day = day_span(date, zone)
    # From the hour before, which tells of the segment that runs into the day; counted from 1970.
    hours = range(day.start_us // HOUR - 1, -(-day.end_us // HOUR))
    records = _records(connection, camera, stream, hours)
    inside = [body for body in records.values() if body["to_us"] > day.start_us and body["from_us"] < day.end_us]
    if not inside:
        raise NotOnRecord(
            f"the ledger has no record of {camera} on {date}",
            hint="an hour is told some minutes after its end; a camera has records from its adoption on",
        )
    seqs = records.keys() | _about_footage(connection, camera, stream, hours, records.values())
    seqs.update(seq for _, seq in about(connection, KEY_TOPIC))
    floors = {rule for body in inside for floor in floors_of(body).values() for rule in floor.rules}
    told = {
        "v": VERSION,
        "camera": camera,
        "stream": stream.value,
        "date": date.isoformat(),
        "timezone": zone.key,
        "from_us": day.start_us,
        "to_us": day.end_us,
        "since_us": max(min(body["from_us"] for body in inside), day.start_us),
        "until_us": min(max(body["to_us"] for body in inside), day.end_us),
        "rules": {rule: rules.get(rule, "") for rule in sorted(floors)},
        "files": _files(connection, camera, stream, day),
        "gaps": [
            [gap.span.start_us, gap.span.end_us, gap.cause.value]
            for gap in coverage.query(connection, camera, stream, day).gaps
        ],
    }
    return Day(told, frozenset(seqs))


def _records(
    connection: sqlite3.Connection, camera: str, stream: StreamKind, hours: range
) -> dict[int, dict[str, Any]]:
    """The records of the stream's hours, those that were replaced among them, by their entries' numbers."""
    first, last = (hour_topic(camera, stream.value, hour) for hour in (hours[0], hours[-1]))
    return {seq: _body(connection, seq) for _, seq in about(connection, first, last)}


def _about_footage(
    connection: sqlite3.Connection, camera: str, stream: StreamKind, hours: range, records: Iterable[dict[str, Any]]
) -> set[int]:
    """The entries that tell what became of the footage in `records`: deleted, lost, found, late; and of the camera."""
    named = {
        str(SegmentKey(camera, stream, body["hour_us"] + offset, run, number))
        for body in records
        for offset, _, run, number, _, _ in body["segments"]
    }
    deletions = (deletion_topic(camera, stream.value, hour) for hour in (hours[0], hours[-1]))
    seqs = {seq for _, seq in about(connection, *deletions)}
    for _, seq in about(connection, camera_topic(camera)):
        lost = _body(connection, seq).get("segments")
        if not isinstance(lost, list) or not named.isdisjoint(lost):  # late footage is told by its number
            seqs.add(seq)
    return seqs


def _body(connection: sqlite3.Connection, seq: int) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(entry_line(connection, seq))["body"]
    return body


def _files(connection: sqlite3.Connection, camera: str, stream: StreamKind, day: Span) -> list[dict[str, object]]:
    """What the index says now about each file of the day."""
    altered = {finding.segment for finding in findings(connection, _MOST)}
    return [
        {
            "segment": str(row.key),
            "file": str(segment_file(row)),
            "volume": row.volume,
            "bytes": row.bytes,
            "sha256": row.sha256,
            "keep_until_us": row.keep_until_us,
            "state": "altered" if str(row.key) in altered else _STATES[row.state],
        }
        for row in segments_in(connection, camera, stream, day, limit=_MOST)
    ]


def write_bundle(connection: sqlite3.Connection, day: Day, key: LedgerKey, script: str, now_us: int) -> dict[str, str]:
    """The bundle's files by name, within a write transaction.

    That the proof was made is the last entry under the head which is signed for it. It dates the head and names what
    was given out by its hashes: so not a byte of a bundle can be changed afterwards.
    """
    text = json.dumps(day.about, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    made = {name: day.about[name] for name in ("camera", "stream", "date")}
    made |= {name: hashlib.sha256(given.encode()).hexdigest() for name, given in (("bundle", text), ("script", script))}
    size = append(connection, now_us, LedgerKind.PROOF_MADE, made)
    note = sign_head(connection, key, now_us)
    entries = sorted({*day.entries, size})
    lines = [entry_line(connection, seq) for seq in entries]
    proofs = []
    for seq, line in zip(entries, lines, strict=True):
        proof: dict[str, Any] = {"seq": seq, "hashes": inclusion(connection, seq, size)}
        entry = json.loads(line)
        if entry["kind"] == LedgerKind.KEY_CHANGED:
            heads = [parse_head(one) for one in entry["body"]["heads"]]
            proof["continues"] = [consistency(connection, head.size, size) for head in heads]
        proofs.append(proof)
    return {
        "bundle.json": text,
        "checkpoint": note,
        "key.pem": key.pem,
        "leaves.ndjson": "".join(line.decode() + "\n" for line in lines),
        "proofs.ndjson": "".join(json.dumps(proof, separators=(",", ":")) + "\n" for proof in proofs),
        "verify_retention.py": script,
    }

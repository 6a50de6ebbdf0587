"""Gathers what proves one camera-day to somebody who has neither this box nor a network.

The bundle is a few small files (see `edged.prove.verify_retention`, which reads them): the signed head, the public
key, the ledger entries about the day with their inclusion proofs, and what the index says about each file now. No
footage (I8), no address (I9).
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from edged.archive import coverage
from edged.archive.fixity import findings
from edged.archive.ledger import about, camera_topic, deletion_topic, hour_topic
from edged.archive.roster import get
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.segments import SegmentKey, segment_file, segments_in
from edged.archive.told import floors_of
from edged.base.clock import HOUR, SECOND
from edged.base.spans import Span
from edged.model import StreamKind
from edged.prove.proofs import NotOnRecord, entry_line, inclusion
from edged.prove.verify_retention import parse_head

VERSION = 1
_STATES = {SEALED: "kept", MISSING: "missing", DOOMED: "doomed"}
_MOST = 100_000  # segments of a day: more than one a second


def day_span(date: dt.date, zone: ZoneInfo) -> Span:
    """The civil day at the site, 23 to 25 hours long."""
    ends = [dt.datetime.combine(day, dt.time(), zone) for day in (date, date + dt.timedelta(days=1))]
    return Span(*(round(end.timestamp()) * SECOND for end in ends))


def gather_day(
    connection: sqlite3.Connection,
    camera: str,
    stream: StreamKind,
    date: dt.date,
    zone: ZoneInfo,
    note: str,
    rules: Mapping[str, str],
) -> dict[str, str]:
    """The bundle's files by name, without script and key. `rules` tells what each rule id means.

    `note` is the signed head; its last entry must be the PROOF_MADE of this camera-day.

    Raises UnknownCamera, and NotOnRecord where no hour of the day has been told to the ledger yet.
    """
    get(connection, camera)
    size = parse_head(note).size
    day = day_span(date, zone)
    # The hour before tells of the segment that runs into the day.
    hours = Span(day.start_us // HOUR - 1, -(-day.end_us // HOUR))
    found = [
        (seq, json.loads(entry_line(connection, seq))["body"])
        for _, seq in about(
            connection,
            hour_topic(camera, stream.value, hours.start_us),
            hour_topic(camera, stream.value, hours.end_us - 1),
        )
        if seq <= size
    ]
    inside = [body for _, body in found if body["to_us"] > day.start_us and body["from_us"] < day.end_us]
    if not inside:
        raise NotOnRecord(
            f"the ledger has no record of {camera} on {date}",
            hint="an hour is told some minutes after its end; a camera has records from its adoption on",
        )
    seqs = {seq for seq, _ in found}
    named = {
        str(SegmentKey(camera, stream, body["hour_us"] + offset, run, number))
        for _, body in found
        for offset, _, run, number, _, _ in body["segments"]
    }
    deletions = (deletion_topic(camera, stream.value, hour) for hour in (hours.start_us, hours.end_us - 1))
    seqs.update(seq for _, seq in about(connection, *deletions))
    for _, seq in about(connection, camera_topic(camera)):
        lost = json.loads(entry_line(connection, seq))["body"].get("segments")
        if not isinstance(lost, list) or not named.isdisjoint(lost):  # late footage is told by its number
            seqs.add(seq)
    seqs.add(size)  # the entry that this proof was made: it dates the head
    told = sorted(seq for seq in seqs if seq <= size)
    altered = {finding.segment for finding in findings(connection, _MOST)}
    first = min(body["from_us"] for body in inside)
    floors = {rule for body in inside for floor in floors_of(body).values() for rule in floor.rules}
    bundle = {
        "v": VERSION,
        "camera": camera,
        "stream": stream.value,
        "date": date.isoformat(),
        "timezone": zone.key,
        "from_us": day.start_us,
        "to_us": day.end_us,
        "since_us": max(first, day.start_us),
        "until_us": min(max(body["to_us"] for body in inside), day.end_us),
        "rules": {rule: rules.get(rule, "") for rule in sorted(floors)},
        "files": [
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
        ],
        "gaps": [
            [gap.span.start_us, gap.span.end_us, gap.cause.value]
            for gap in coverage.query(connection, camera, stream, day).gaps
        ],
    }
    proofs = [{"seq": seq, "hashes": inclusion(connection, seq, size)} for seq in told]
    return {
        "bundle.json": json.dumps(bundle, ensure_ascii=False, indent=1, sort_keys=True) + "\n",
        "checkpoint": note,
        "leaves.ndjson": "".join(entry_line(connection, seq).decode() + "\n" for seq in told),
        "proofs.ndjson": "".join(json.dumps(proof, separators=(",", ":")) + "\n" for proof in proofs),
    }

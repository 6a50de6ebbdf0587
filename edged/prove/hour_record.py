"""What the ledger says about one stream in one UTC hour: every segment that begins in it, and every gap. Pure.

Segments are written as [offset, length, run, number, bytes, SHA-256 in base64], gaps as [offset, length, cause];
offsets and lengths are microseconds, counted from the hour's start. A segment belongs to the hour in which it begins
and may end in the next. What is known only later (a journal read late, a cause understood) makes a record that
supersedes the earlier one and still names every segment of it.

Where the law, or a camera's place, changed within the hour, `longer` says which segments entered under a longer floor
than the one named: as [days, rules, [[offset, run, number], ...]].
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edged.archive.told import floors_of
from edged.base.clock import HOUR
from edged.model import Coverage, Floor, StreamKind


class HourSegment(NamedTuple):
    """A segment as its hour's record names it. `sha256` is 32 bytes."""

    start_us: int
    end_us: int
    run: int
    seq: int
    size: int  # bytes
    sha256: bytes
    floor: Floor


class Before(NamedTuple):
    """The record in force so far: its number in the ledger, and its body."""

    seq: int
    body: Mapping[str, Any]


def hour_record(
    camera: str,
    stream: StreamKind,
    hour: int,
    coverage: Coverage,
    segments: Iterable[HourSegment],
    before: Before | None,
) -> dict[str, Any] | None:
    """The record that the ledger owes, or None where it has nothing new to say.

    `hour` counts from 1970 UTC; `coverage` is that of the hour, its window cut where the camera's time begins.
    Floors are those under which the segments were first told of; a later, larger one does not change them.
    """
    if not coverage.window.length_us:
        return None
    hour_us = hour * HOUR
    known = {tuple(one) for one in before.body["segments"]} if before else set()
    floors = floors_of(before.body) if before else {}
    for one in segments:
        known.add(
            (
                one.start_us - hour_us,
                one.end_us - one.start_us,
                one.run,
                one.seq,
                one.size,
                base64.b64encode(one.sha256).decode(),
            )
        )
        floors.setdefault((one.start_us, one.run, one.seq), one.floor)
    floor = min(floors.values(), key=lambda each: (each.days, each.rules), default=Floor(days=0, rules=()))
    longer: dict[Floor, list[list[int]]] = {}
    for (start_us, run, seq), entered in sorted(floors.items()):
        if entered.days > floor.days:
            longer.setdefault(entered, []).append([start_us - hour_us, run, seq])
    record: dict[str, Any] = {
        "camera": camera,
        "stream": stream.value,
        "hour_us": hour_us,
        "from_us": coverage.window.start_us,
        "to_us": coverage.window.end_us,
        "segments": [list(one) for one in sorted(known)],
        "gaps": [[gap.span.start_us - hour_us, gap.span.length_us, gap.cause.value] for gap in coverage.gaps],
        "floor_days": floor.days,
        "rules": list(floor.rules),
        "supersedes": before.seq if before else None,
    }
    if longer:
        record["longer"] = [[each.days, list(each.rules), names] for each, names in longer.items()]
    if before is not None and {**record, "supersedes": before.body["supersedes"]} == dict(before.body):
        return None
    return record


def begins_in_gap(record: Mapping[str, Any]) -> bool:
    """Whether the stream was not recorded at the first instant of the record's whole hour.

    Then what explains this hour's gap may explain the end of the hour before it as well.
    """
    return bool(record["from_us"] == record["hour_us"] and record["gaps"] and record["gaps"][0][0] == 0)

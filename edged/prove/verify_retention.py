#!/usr/bin/env python3
"""Checks a retention proof of one camera-day, offline: python3 verify_retention.py BUNDLE [--files DIR] [--key PEM].

It needs Python 3.11 or later and the package `cryptography`; neither edged nor a network. It imports nothing of
edged, so that whoever doubts edged can read all of it and run it elsewhere.

What is checked: the head of the recorder's ledger is signed (C2SP tlog-checkpoint, Ed25519); every entry in the bundle
stands in that ledger (RFC 6962 inclusion proofs); the hours' records leave no instant of the day unaccounted for; what
was deleted was deleted past its floor; and, with --files, every file that is left has the hash the ledger names.
What is not: what happened in front of the lens, and whether the key is the recorder's, unless you give it with --key.

Exit code 0: COMPLETE, COMPLETE_WITH_DECLARED_GAPS or DELETED_AFTER_FLOOR; 1: MISSING_UNEXPLAINED or ALTERED;
2: the command is wrong.
"""

import argparse
import base64
import datetime as dt
import hashlib
import json
import sys
import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LATEST_US = 26 * HOUR_US  # after its end a day's last hour is on record, even where a volume had to be waited for
CHUNK = 1 << 20  # bytes hashed at once: large enough that hashing, not reading, sets the pace
SIGNATURES = 64  # in one note, more than any witness scheme needs
VERDICTS = ("COMPLETE", "COMPLETE_WITH_DECLARED_GAPS", "DELETED_AFTER_FLOOR", "MISSING_UNEXPLAINED", "ALTERED")

Span = tuple[int, int]  # microseconds UTC, half-open


class Altered(Exception):
    """Something is not what it must be; the text says what."""


class UnknownSigner(Altered):
    """A head carries no signature of the key it was to be checked with."""


# --- the log: signed heads and Merkle proofs ----------------------------------------------------------------------


class Head(NamedTuple):
    """A ledger's head: how many entries it has, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes


def key_id(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes that name a key in a signed note (C2SP signed-note; 0x01 is Ed25519)."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(name.encode() + b"\n\x01" + raw).digest()[:4]


def read_key(pem: bytes) -> Ed25519PublicKey:
    """An Ed25519 public key. Raises Altered."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Altered("the public key cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Altered("the public key is not an Ed25519 key")
    return key


def parse_head(note: str) -> Head:
    """What a checkpoint says, whoever signed it. Raises Altered."""
    text, _, _ = note.rpartition("\n\n")
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError) as error:
        raise Altered("the checkpoint is not one") from error
    if not origin or str(size) != lines[1] or size < 0 or len(root) != 32 or "" in lines:
        raise Altered("the checkpoint is not one")
    return Head(origin, size, root)


def verify_checkpoint(note: str, key: Ed25519PublicKey) -> Head:
    """The head that `note` promises under `key`'s signature. Raises Altered, UnknownSigner."""
    head = parse_head(note)
    text, _, signatures = note.rpartition("\n\n")
    for line in signatures.split("\n")[:SIGNATURES]:
        dash, _, rest = line.partition(" ")
        name, _, signature = rest.partition(" ")
        if dash != "\u2014" or name != head.origin:
            continue
        try:
            raw = base64.b64decode(signature, validate=True)
        except ValueError:
            continue
        if raw[:4] != key_id(name, key):
            continue
        try:
            key.verify(raw[4:], f"{text}\n".encode())
        except InvalidSignature as error:
            raise Altered("the checkpoint's signature is wrong") from error
        return head
    raise UnknownSigner("the checkpoint is not signed by this key")


def leaf_hash(line: bytes) -> bytes:
    """RFC 6962 section 2.1."""
    return hashlib.sha256(b"\0" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1."""
    return hashlib.sha256(b"\1" + left + right).digest()


def verify_inclusion(leaf: bytes, index: int, proof: Sequence[bytes], head: Head) -> bool:
    """Whether `proof` leads from the leaf at `index` (from 0) to the head's root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < head.size:
        return False
    at, last, joined = index, head.size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            joined = node_hash(one, joined)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            joined = node_hash(joined, one)
        at, last = at >> 1, last >> 1
    return last == 0 and joined == head.root


def verify_consistency(old: Head, new: Head, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `new` begins with the tree of `old` (RFC 9162 section 2.1.4.2)."""
    if old.size > new.size:
        return False
    if old.size == new.size:
        return not proof and old.root == new.root
    if old.size == 0:
        return not proof and old.root == hashlib.sha256().digest()
    hashes = list(proof)
    at, last = old.size - 1, new.size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if at == 0:  # the old tree is complete: its root is the first of the hashes
        hashes.insert(0, old.root)
    if not hashes:
        return False
    before = after = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(one, before), node_hash(one, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, one)
        at, last = at >> 1, last >> 1
    return last == 0 and before == old.root and after == new.root


# --- the bundle ---------------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """One ledger entry whose place in the ledger is proved."""

    seq: int
    at_us: int
    kind: str
    body: dict[str, Any]


@dataclass
class Segment:
    """One file as its hour's record names it."""

    id: str
    start_us: int
    end_us: int
    bytes: int
    sha256: str
    floor_days: int
    path: str


@dataclass
class Report:
    """What the check found, as the ledger stood at `made_us`. `until_us` is short of the end of a day not over then."""

    verdict: str = "COMPLETE"
    camera: str = ""
    date: str = ""
    from_us: int = 0
    until_us: int = 0
    made_us: int = 0
    head: Head | None = None
    key: str = ""
    key_given: bool = False
    segments: int = 0
    hashed: int = 0
    deleted: int = 0
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    floors: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def worsen(self, verdict: str, finding: str = "") -> None:
        """Lower the verdict to `verdict`, never raise it, and say why."""
        if VERDICTS.index(verdict) > VERDICTS.index(self.verdict):
            self.verdict = verdict
        if finding:
            self.findings.append(finding)


def verify_bundle(folder: Path, files: Sequence[Path] = (), key_pem: bytes | None = None) -> Report:
    """Check everything in `folder`; whatever is missing or damaged in it counts as altered, never as an error."""
    report = Report(key_given=key_pem is not None)
    try:
        about, entries = _open(folder, key_pem, report)
        _check_day(about, report)
        _check_made(about, entries, report)
        _judge(about, entries, files, report)
    except Altered as found:
        report.worsen("ALTERED", str(found))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, OSError) as error:
        report.worsen("ALTERED", f"the bundle cannot be understood ({type(error).__name__}: {error})")
    return report


def _open(folder: Path, key_pem: bytes | None, report: Report) -> tuple[dict[str, Any], list[Entry]]:
    key = read_key(key_pem if key_pem is not None else (folder / "key.pem").read_bytes())
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    report.key = hashlib.sha256(raw).hexdigest()
    head = report.head = verify_checkpoint((folder / "checkpoint").read_text(encoding="utf-8"), key)
    about = json.loads((folder / "bundle.json").read_bytes())
    if about["v"] != 1:
        raise Altered(f"a bundle of version {about['v']}; this script reads version 1")
    report.camera, report.date = about["camera"], about["date"]
    lines = (folder / "leaves.ndjson").read_bytes().splitlines()
    proofs = (folder / "proofs.ndjson").read_bytes().splitlines()
    if len(lines) != len(proofs):
        raise Altered("there is not one proof for each ledger entry")
    entries = []
    for line, told in zip(lines, proofs, strict=True):
        proof = json.loads(told)
        entry = Entry(**json.loads(line))
        hashes = [base64.b64decode(one, validate=True) for one in proof["hashes"]]
        if proof["seq"] != entry.seq or not verify_inclusion(leaf_hash(line), entry.seq - 1, hashes, head):
            raise Altered(f"entry {entry.seq} does not stand in the signed ledger")
        entries.append(entry)
    return about, entries


def _check_day(about: dict[str, Any], report: Report) -> None:
    """The bundle's window must be the civil day it names."""
    report.from_us = max(about["from_us"], about["since_us"])
    report.until_us = min(about["to_us"], about["until_us"])
    try:
        zone = zoneinfo.ZoneInfo(about["timezone"])
    except zoneinfo.ZoneInfoNotFoundError:
        report.notes.append(f"this machine does not know the time zone {about['timezone']}: the day's limits as given")
        return
    day = dt.date.fromisoformat(about["date"])
    ends = [dt.datetime.combine(d, dt.time(), zone).timestamp() for d in (day, day + dt.timedelta(days=1))]
    if [about["from_us"], about["to_us"]] != [round(end * 1_000_000) for end in ends]:
        raise Altered("the bundle is not about the whole of the day it names")


def _check_made(about: dict[str, Any], entries: list[Entry], report: Report) -> None:
    """The head's last entry says that this proof was made, and when: so a stale head shows as an old date."""
    made = max(entries, key=lambda e: e.seq)
    asked = (made.body.get("camera"), made.body.get("stream"), made.body.get("date"))
    if report.head is None or made.seq != report.head.size or made.kind != "proof_made":
        raise Altered("the signed head does not end with the making of a proof")
    if asked != (about["camera"], about["stream"], about["date"]):
        raise Altered("the signed head was made for another camera-day")
    report.made_us = made.at_us


def _check_ends(about: dict[str, Any], entries: list[Entry], records: dict[int, Entry], report: Report) -> None:
    """Where the records begin late or end early, the ledger must say why."""
    if report.from_us > about["from_us"]:
        adopted = any(e.kind == "camera_adopted" and e.at_us == report.from_us for e in entries)
        first = [r for r in records.values() if r.body["from_us"] == report.from_us]
        # A record that begins inside its hour begins with the camera itself; on the hour it might just as well follow
        # one that was left out.
        if not any(adopted or r.body["from_us"] != r.body["hour_us"] for r in first):
            report.worsen("MISSING_UNEXPLAINED", f"no record before {_time(report.from_us)}, and no reason why")
        report.notes.append(f"recorded since {_time(report.from_us)} only; nothing was due before")
    if report.until_us < about["to_us"]:
        removed = any(e.kind == "camera_removed" and e.at_us <= report.until_us for e in entries)
        if report.made_us >= about["to_us"] + LATEST_US and not removed:
            report.worsen("MISSING_UNEXPLAINED", f"no record after {_time(report.until_us)}, and no reason why")
        why = "the camera was removed" if removed else "the rest of the day was not on record yet"
        report.notes.append(f"proved until {_time(report.until_us)}; {why}")


def _judge(about: dict[str, Any], entries: list[Entry], files: Sequence[Path], report: Report) -> None:
    camera, stream = about["camera"], about["stream"]
    records = _records(entries, camera, stream)
    window = (report.from_us, report.until_us)
    _check_ends(about, entries, records, report)
    if report.until_us <= report.from_us:
        report.worsen("MISSING_UNEXPLAINED", "nothing of this day is on record")
        return
    named_by = [r.body for r in records.values() if r.body["segments"]]
    floors = {(days, ", ".join(rules)) for body in named_by for days, rules, _ in _floors(body)}
    report.floors = [f"{days} days ({rules})" for days, rules in sorted(floors)]
    named = {s.id: s for record in records.values() for s in _segments(record)}
    segments = [s for s in named.values() if _cut((s.start_us, s.end_us), window)]
    report.segments = len(segments)
    accounted = [(s.start_us, s.end_us) for s in segments]
    for record in sorted(records.values(), key=lambda r: int(r.body["hour_us"])):
        for start, length, cause in record.body["gaps"]:
            first = record.body["hour_us"] + start
            for gap in _cut((first, first + length), window):
                accounted.append(gap)
                _add_gap(report, gap, cause)
    for start, end in _without(window, accounted):
        report.worsen("MISSING_UNEXPLAINED", f"{_time(start)} to {_time(end)}: neither recorded nor a declared gap")
    deletions = _deletions(entries, named, report)
    _check_segments(segments, deletions, entries, about, files, report)


def _add_gap(report: Report, gap: Span, cause: str) -> None:
    report.worsen("COMPLETE_WITH_DECLARED_GAPS")
    if cause == "unknown":
        report.worsen("MISSING_UNEXPLAINED", f"{_time(gap[0])} to {_time(gap[1])}: a gap that nothing explains")
    if report.gaps and report.gaps[-1][1:] == (gap[0], cause):
        gap = (report.gaps.pop()[0], gap[1])
    report.gaps.append((*gap, cause))


def _records(entries: list[Entry], camera: str, stream: str) -> dict[int, Entry]:
    """The record in force of each hour. One that takes another's place must still name every file of it."""
    newest: dict[int, Entry] = {}
    for entry in sorted(entries, key=lambda e: e.seq):
        body = entry.body
        if entry.kind != "camera_hour" or (body["camera"], body["stream"]) != (camera, stream):
            continue
        before = newest.get(body["hour_us"])
        if body["supersedes"] != (before.seq if before else None):
            raise Altered(f"entry {entry.seq} replaces a record that the bundle leaves out")
        kept = {tuple(s) for s in body["segments"]}
        if before is not None and not kept >= {tuple(s) for s in before.body["segments"]}:
            raise Altered(f"entry {entry.seq} no longer names files that entry {before.seq} named")
        newest[body["hour_us"]] = entry
    return newest


def _floors(body: dict[str, Any]) -> list[Any]:
    """The floors that a record names, each with the segments that stand under it; the first is that of all others."""
    return [(body["floor_days"], body["rules"], []), *body.get("longer", ())]


def _segments(record: Entry) -> Iterable[Segment]:
    body = record.body
    longer = {tuple(name): days for days, _, names in _floors(body) for name in names}
    for offset, length, run, number, size, digest in body["segments"]:
        start_us = body["hour_us"] + offset
        at = dt.datetime.fromtimestamp(start_us // 1_000_000, dt.UTC)
        folder = body["camera"] if body["stream"] == "main" else f"{body['camera']}~{body['stream']}"
        yield Segment(
            id=f"{body['camera']}/{body['stream']}/{start_us}-{run}-{number}",
            start_us=start_us,
            end_us=start_us + length,
            bytes=size,
            sha256=base64.b64decode(digest, validate=True).hex(),
            floor_days=longer.get((offset, run, number), body["floor_days"]),
            path=f"segments/{folder}/{at:%Y-%m-%d}/{at:%H%M%S}Z-{run}-{number}.mp4",
        )


def _deletions(entries: list[Entry], named: dict[str, Segment], report: Report) -> dict[str, tuple[int, Entry]]:
    """By a segment's id its end and the entry that deleted it; `named` are those that the hours' records name.

    An entry tells of many segments and binds their hashes by one digest. What was spared afterwards is not deleted.
    """
    found: dict[str, tuple[int, Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.seq):
        body = entry.body
        if entry.kind == "segment_spared":
            found.pop(body["segment"], None)
        elif entry.kind == "segments_deleted":
            gone: list[str] = []
            for offset, length, run, number in body["segments"]:
                start_us = body["hour_us"] + offset
                gone.append(f"{body['camera']}/{body['stream']}/{start_us}-{run}-{number}")
                found[gone[-1]] = (start_us + length, entry)
            hashes = [bytes.fromhex(named[one].sha256) for one in gone if one in named]
            if len(hashes) < len(gone):
                report.worsen("MISSING_UNEXPLAINED", f"entry {entry.seq} deleted files that no record names")
            elif body["digest"] != hashlib.sha256(b"".join(hashes)).hexdigest():
                report.worsen("ALTERED", f"entry {entry.seq} deleted files under other hashes than those on record")
    return found


def _check_segments(
    segments: list[Segment],
    deletions: dict[str, tuple[int, Entry]],
    entries: list[Entry],
    about: dict[str, Any],
    files: Sequence[Path],
    report: Report,
) -> None:
    missing: set[str] = set()
    for entry in sorted(entries, key=lambda e: e.seq):
        if entry.kind == "footage_missing":
            missing.update(entry.body["segments"])
        elif entry.kind == "footage_found":
            missing.difference_update(entry.body["segments"])
    kept = {one["segment"] for one in about["files"] if one["state"] == "kept"}
    altered = {one["segment"] for one in about["files"] if one["state"] == "altered"}
    for segment in segments:
        found = next((d / segment.path for d in files if (d / segment.path).is_file()), None)
        deletion = deletions.get(segment.id)
        if found is not None:
            report.hashed += 1
            if found.stat().st_size != segment.bytes or hash_file(found) != segment.sha256:
                report.worsen("ALTERED", f"{segment.path}: not the file that was recorded")
        elif not files and segment.id in kept:
            continue  # the bundle says that it is there; only --files can tell
        elif not files and segment.id in altered:
            report.worsen("ALTERED", f"{segment.path}: read again by the recorder, and not what was recorded")
        elif deletion is not None:
            report.deleted += 1
            report.worsen("DELETED_AFTER_FLOOR")
            _check_deletion(segment, *deletion, report)
        elif segment.id in missing:
            report.worsen("MISSING_UNEXPLAINED", f"{segment.path}: on record as lost without a deletion")
        else:
            report.worsen("MISSING_UNEXPLAINED", f"{segment.path}: neither there nor deleted on record")
    if not files and report.verdict in VERDICTS[:3] and report.deleted < len(segments):
        report.notes.append("the files themselves were not looked at: give their folder with --files")


def _check_deletion(segment: Segment, end_us: int, deletion: Entry, report: Report) -> None:
    body = deletion.body
    lawful = (
        body["retention_us"] >= body["keep_until_us"] >= segment.end_us + body["floor_days"] * DAY_US
        and body["floor_days"] >= segment.floor_days
        and end_us == segment.end_us
    )
    if not lawful:
        report.worsen("MISSING_UNEXPLAINED", f"{segment.path}: deleted before its floor of {segment.floor_days} days")


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex. Raises OSError."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


# --- intervals, and what people read ------------------------------------------------------------------------------


def _cut(span: Span, window: Span) -> list[Span]:
    start, end = max(span[0], window[0]), min(span[1], window[1])
    return [(start, end)] if start < end else []


def _without(window: Span, taken: list[Span]) -> list[Span]:
    left, at = [], window[0]
    for start, end in sorted(taken):
        if start > at:
            left += _cut((at, start), window)
        at = max(at, end)
    return left + _cut((at, window[1]), window)


def _time(at_us: int) -> str:
    at = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=at_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(report: Report) -> dict[str, Any]:
    """The report for scripts."""
    told = {name: value for name, value in vars(report).items() if name not in ("head", "gaps")}
    told["gaps"] = [{"from": _time(a), "to": _time(b), "cause": cause} for a, b, cause in report.gaps]
    for name in ("from", "until", "made"):
        told[name] = _time(told.pop(f"{name}_us"))
    if report.head is not None:
        root = base64.b64encode(report.head.root).decode()
        told["checkpoint"] = {"origin": report.head.origin, "size": report.head.size, "root": root}
    return told


def show(report: Report) -> None:
    """The report for people."""
    print(f"{report.verdict}  camera {report.camera}, {report.date}")
    if report.head is not None:
        print(f"ledger    {report.head.origin}, {report.head.size} entries, signature good")
    whose = "given with --key" if report.key_given else "the bundle's own: compare it with the published one"
    print(f"key       {report.key} ({whose})")
    print(f"made      {_time(report.made_us)}, by the recorder's clock")
    print(f"window    {_time(report.from_us)} to {_time(report.until_us)}")
    print(
        f"files     {report.segments} on record, {report.hashed} hashed now, {report.deleted} deleted past their floor"
    )
    for floor in report.floors:
        print(f"floor     {floor}")
    for start, end, cause in report.gaps:
        print(f"gap       {_time(start)} to {_time(end)}  {cause}")
    for finding in report.findings:
        print(f"!         {finding}")
    for note in report.notes:
        print(f"note      {note}")


def main(argv: Sequence[str] | None = None) -> int:
    """Check one bundle and print what was found."""
    parser = argparse.ArgumentParser(description="Checks a retention proof of one camera-day, offline.")
    parser.add_argument("bundle", type=Path, help="the folder that `edged prove day` wrote")
    parser.add_argument(
        "--files", type=Path, action="append", default=[], help="a volume with the recordings; may be given repeatedly"
    )
    parser.add_argument("--key", type=Path, help="the recorder's public key (PEM), got by another way than the bundle")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    arguments = parser.parse_args(argv)
    for folder in (arguments.bundle, *arguments.files):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    try:
        pem = arguments.key.read_bytes() if arguments.key else None
    except OSError as error:
        parser.error(f"{arguments.key}: {error.strerror}")
    report = verify_bundle(arguments.bundle, arguments.files, pem)
    if arguments.json:
        print(json.dumps(as_json(report), ensure_ascii=False, indent=2, sort_keys=True))
    else:
        show(report)
    return 0 if VERDICTS.index(report.verdict) < 3 else 1


if __name__ == "__main__":
    sys.exit(main())

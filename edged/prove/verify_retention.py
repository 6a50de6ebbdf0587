#!/usr/bin/env python3
"""Checks a retention proof of one camera-day, offline: python3 verify_retention.py BUNDLE [--files DIR] [--key PEM].

It needs Python 3.8 or later and the package `cryptography`; neither edged nor a network. It imports nothing of
edged, so that whoever doubts edged can read all of it and run it elsewhere. Run a copy that you got by another way
than the bundle: a script that comes with the evidence can say what it likes.

What is checked: the head of the recorder's ledger is signed (C2SP tlog-checkpoint, Ed25519); every entry in the bundle
stands in that ledger (RFC 6962 inclusion proofs), and every other byte of the bundle is what the ledger says that the
recorder gave out; the hours' records leave no instant of the day unaccounted for; what was deleted was deleted past its
floor; and, with --files, every file that is left has the hash the ledger names.
What is not: what happened in front of the lens, and whether the key is the recorder's, unless you give it with --key.
Where the recorder has lost its key and made a new one, give both: the ledger must go on from what the old one signed.

Exit code 0: COMPLETE, COMPLETE_WITH_DECLARED_GAPS or DELETED_AFTER_FLOOR; 1: MISSING_UNEXPLAINED or ALTERED;
2: the command is wrong.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence, Tuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

try:
    import zoneinfo
except ImportError:  # Python 3.8: the day's limits are taken as the bundle gives them, and that is said
    zoneinfo = None  # type: ignore[assignment]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LATEST_US = 26 * HOUR_US  # after its end a day's last hour is on record, even where a volume had to be waited for
CHUNK = 1 << 20  # bytes hashed at once: large enough that hashing, not reading, sets the pace
SIGNATURES = 64  # in one note, more than any witness scheme needs
MEANING = {  # from the best verdict to the worst
    "COMPLETE": "all of the window was recorded, and all of that is still kept",
    "COMPLETE_WITH_DECLARED_GAPS": "kept but for the gaps below, each of which the ledger tells with its cause",
    "DELETED_AFTER_FLOOR": "recorded but for the gaps below; what is gone was deleted on record, past its minimum",
    "MISSING_UNEXPLAINED": "something is not there, and nothing on record makes that lawful: see the lines with !",
    "ALTERED": "something is not what was recorded, or not what the recorder signed: see the lines with !",
}
VERDICTS = tuple(MEANING)

Span = Tuple[int, int]  # microseconds UTC, half-open


_EPOCH = dt.datetime.fromtimestamp(0, dt.timezone.utc)


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


def key_pem(key: Ed25519PublicKey) -> bytes:
    """The one PEM form of a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """What people compare: SHA-256 of the raw public key, in hex."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def from_base64(text: str) -> bytes:
    """What `text` stands for; of the texts that could stand for it only the usual one is taken. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not the usual base64")
    return raw


def parse_head(note: str) -> Head:
    """What a checkpoint says, whoever signed it. Raises Altered."""
    text, _, _ = note.rpartition("\n\n")
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), from_base64(lines[2])
    except (IndexError, ValueError) as error:
        raise Altered("the checkpoint is not one") from error
    if not origin or str(size) != lines[1] or size < 0 or len(root) != 32 or "" in lines:
        raise Altered("the checkpoint is not one")
    return Head(origin, size, root)


def signatures(note: str) -> list[tuple[str, bytes]]:
    """Who signed a note: name, and key id with signature. Raises Altered where a line is not one (C2SP signed-note)."""
    _, _, lines = note.rpartition("\n\n")
    *signed, rest = lines.split("\n")
    found = []
    for line in signed:
        dash, _, told = line.partition(" ")
        name, _, signature = told.partition(" ")
        try:
            raw = from_base64(signature)
        except ValueError:
            raw = b""
        if dash != "\u2014" or not name or len(raw) <= 4:
            raise Altered("a signature line of the checkpoint is not one")
        found.append((name, raw))
    if rest or not 0 < len(found) <= SIGNATURES:
        raise Altered("the checkpoint does not end with its signatures")
    return found


def verify_checkpoint(note: str, key: Ed25519PublicKey) -> Head:
    """The head that `note` promises under `key`'s signature. Raises Altered, UnknownSigner."""
    head = parse_head(note)
    text, _, _ = note.rpartition("\n\n")
    for name, signature in signatures(note):
        if name != head.origin or signature[:4] != key_id(name, key):
            continue
        try:
            key.verify(signature[4:], f"{text}\n".encode())
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
    stream: str = ""
    date: str = ""
    from_us: int = 0
    until_us: int = 0
    made_us: int = 0
    head: Head | None = None
    key: str = ""
    key_given: bool = False
    earlier: list[tuple[str, int]] = field(default_factory=list)  # keys before, given too, and how far each signed
    zone: dt.tzinfo = dt.timezone.utc
    recorded_us: int = 0
    segments: int = 0
    hashed: int = 0
    deleted: int = 0
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    floors: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)  # what each rule of a floor says
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def worsen(self, verdict: str, finding: str = "") -> None:
        """Lower the verdict to `verdict`, never raise it, and say why."""
        if VERDICTS.index(verdict) > VERDICTS.index(self.verdict):
            self.verdict = verdict
        if finding:
            self.findings.append(finding)

    def time(self, at_us: int) -> str:
        """An instant in the site's civil time."""
        return (_EPOCH + dt.timedelta(microseconds=at_us)).astimezone(self.zone).isoformat(timespec="milliseconds")


def verify_bundle(folder: Path, files: Sequence[Path] = (), keys: Sequence[bytes] = ()) -> Report:
    """Check everything in `folder`; whatever is missing or damaged in it counts as altered, never as an error.

    `keys` are the recorder's public keys (PEM), got by another way than the bundle; each must have signed its ledger.
    """
    report = Report(key_given=bool(keys))
    try:
        entries = _open(folder, [read_key(pem) for pem in keys], report)
        about = _about(folder, entries, report)
        _check_day(about, report)
        _judge(about, entries, files, report)
    except Altered as found:
        report.worsen("ALTERED", str(found))
    except OSError as error:
        name = Path(str(error.filename)).name
        report.worsen("ALTERED", f"{name} of the bundle cannot be read ({error.strerror})")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        report.worsen("ALTERED", f"the bundle cannot be understood ({type(error).__name__}: {error})")
    return report


def _open(folder: Path, given: Sequence[Ed25519PublicKey], report: Report) -> list[Entry]:
    """The ledger entries in the bundle, each proved to stand under the signed head."""
    note = (folder / "checkpoint").read_bytes().decode("utf-8")
    key = _signer(folder, note, given)
    report.key = fingerprint(key) if key is not None else ""
    head = report.head = verify_checkpoint(note, key) if key is not None else parse_head(note)
    lines = _lines(folder / "leaves.ndjson")
    proofs = _lines(folder / "proofs.ndjson")
    if len(lines) != len(proofs):
        raise Altered("there is not one proof for each ledger entry")
    entries, earlier = [], []
    for line, told in zip(lines, proofs):
        proof = json.loads(told)
        if json.dumps(proof, separators=(",", ":")).encode() != told:
            raise Altered("a line of proofs.ndjson is not as it was written")
        entry = Entry(**json.loads(line))
        hashes = [from_base64(one) for one in proof["hashes"]]
        if proof["seq"] != entry.seq or not verify_inclusion(leaf_hash(line), entry.seq - 1, hashes, head):
            raise Altered(f"entry {entry.seq} does not stand in the signed ledger")
        entries.append(entry)
        if entry.kind == "key_changed":
            for old, hashed in zip(entry.body["heads"], proof["continues"]):
                if not verify_consistency(parse_head(old), head, [from_base64(one) for one in hashed]):
                    raise Altered(f"the ledger does not continue the head that entry {entry.seq} names")
                earlier.append((entry, old))
    _check_keys(key, given, earlier, report)
    return entries


def _signer(folder: Path, note: str, given: Sequence[Ed25519PublicKey]) -> Ed25519PublicKey | None:
    """Whose signature the head carries; None where that key was not given."""
    file = folder / "key.pem"
    pem = file.read_bytes() if file.is_file() or not given else None
    for key in given or [read_key(pem or b"")]:
        try:
            verify_checkpoint(note, key)
        except UnknownSigner:
            continue
        if pem is not None and pem != key_pem(key):
            raise Altered("key.pem of the bundle is not the key that signed it")
        return key
    return None


def _check_keys(
    key: Ed25519PublicKey | None,
    given: Sequence[Ed25519PublicKey],
    earlier: list[tuple[Entry, str]],
    report: Report,
) -> None:
    """Every key that was given must have signed this ledger: the head, or one that an entry of it names."""
    for one in given:
        if key is not None and fingerprint(one) == report.key:
            continue
        for entry, note in sorted(earlier, key=lambda each: -parse_head(each[1]).size):
            try:
                size = verify_checkpoint(note, one).size
            except UnknownSigner:
                continue
            report.earlier.append((fingerprint(one), size))
            if key is None:
                raise Altered(
                    f"the head is signed by a key that you did not give; the key {fingerprint(one)} that you gave"
                    f" signed the first {size} entries, and entry {entry.seq} says that the key was changed on"
                    f" {report.time(entry.at_us)}: get the new one from the operator, and give both with --key"
                )
            break
        else:
            if key is None:
                raise UnknownSigner(
                    "the head is not signed by a key that you gave: this is the ledger of another recorder, or one "
                    "whose key was replaced; do not believe the key in the bundle"
                )
            raise Altered(f"nothing in this ledger is signed by the key {fingerprint(one)} that you gave")
    if key is None:
        raise UnknownSigner("the head is not signed by the key in the bundle")


def _lines(file: Path) -> list[bytes]:
    *lines, rest = file.read_bytes().split(b"\n")
    if rest:
        raise Altered(f"{file.name} does not end with a whole line")
    return lines


def _about(folder: Path, entries: list[Entry], report: Report) -> dict[str, Any]:
    """What the recorder says of the day. The head's last entry says what it gave out, and when: so nothing of it can be
    changed, and a stale head shows as an old date."""
    made = max(entries, key=lambda e: e.seq, default=None)
    if made is None or report.head is None or made.seq != report.head.size or made.kind != "proof_made":
        raise Altered("the signed head does not end with the making of a proof")
    report.made_us = made.at_us
    content = (folder / "bundle.json").read_bytes()
    if hashlib.sha256(content).hexdigest() != made.body["bundle"]:
        raise Altered("bundle.json is not the one that the recorder gave out")
    script = folder / "verify_retention.py"
    if script.is_file() and hash_file(script) != made.body["script"]:
        raise Altered("verify_retention.py of the bundle is not the one that the recorder gave out")
    about: dict[str, Any] = json.loads(content)
    if about["v"] != 1:
        raise Altered(f"a bundle of version {about['v']}; this script reads version 1")
    report.camera, report.stream, report.date = about["camera"], about["stream"], about["date"]
    asked = (made.body.get("camera"), made.body.get("stream"), made.body.get("date"))
    if asked != (about["camera"], about["stream"], about["date"]):
        raise Altered("the signed head was made for another camera-day")
    return about


def _check_day(about: dict[str, Any], report: Report) -> None:
    """The bundle's window must be the civil day it names."""
    report.from_us = max(about["from_us"], about["since_us"])
    report.until_us = min(about["to_us"], about["until_us"])
    day = dt.date.fromisoformat(about["date"])
    midnight = dt.datetime(day.year, day.month, day.day, tzinfo=dt.timezone.utc)
    report.zone = dt.timezone(midnight - _EPOCH - dt.timedelta(microseconds=about["from_us"]))
    try:
        if zoneinfo is None:
            raise LookupError
        zone = zoneinfo.ZoneInfo(about["timezone"])
    except LookupError:  # a ZoneInfoNotFoundError is one
        report.notes.append(f"this machine does not know the time zone {about['timezone']}: the day's limits as given")
        return
    report.zone = zone
    ends = [dt.datetime(d.year, d.month, d.day, tzinfo=zone).timestamp() for d in (day, day + dt.timedelta(days=1))]
    if [about["from_us"], about["to_us"]] != [round(end * 1_000_000) for end in ends]:
        raise Altered("the bundle is not about the whole of the day it names")


def _check_ends(about: dict[str, Any], entries: list[Entry], records: dict[int, Entry], report: Report) -> None:
    """Where the records begin late or end early, the ledger must say why."""
    if report.from_us > about["from_us"]:
        adopted = any(e.kind == "camera_adopted" and e.at_us == report.from_us for e in entries)
        first = [r for r in records.values() if r.body["from_us"] == report.from_us]
        # A record that begins inside its hour begins with the camera itself; on the hour it might just as well follow
        # one that was left out.
        if not any(adopted or r.body["from_us"] != r.body["hour_us"] for r in first):
            report.worsen("MISSING_UNEXPLAINED", f"no record before {report.time(report.from_us)}, and no reason why")
        report.notes.append(f"recorded since {report.time(report.from_us)} only; nothing was due before")
    if report.until_us < about["to_us"]:
        removed = any(e.kind == "camera_removed" and e.at_us <= report.until_us for e in entries)
        if report.made_us >= about["to_us"] + LATEST_US and not removed:
            report.worsen("MISSING_UNEXPLAINED", f"no record after {report.time(report.until_us)}, and no reason why")
        why = "the camera was removed" if removed else "the rest of the day was not on record yet"
        report.notes.append(f"proved until {report.time(report.until_us)}; {why}")


def _judge(about: dict[str, Any], entries: list[Entry], files: Sequence[Path], report: Report) -> None:
    camera, stream = about["camera"], about["stream"]
    records = _records(entries, camera, stream)
    window = (report.from_us, report.until_us)
    _check_ends(about, entries, records, report)
    if report.until_us <= report.from_us:
        report.worsen("MISSING_UNEXPLAINED", "nothing of this day is on record")
        return
    named_by = [r.body for r in records.values() if r.body["segments"]]
    floors = {(days, tuple(rules)) for body in named_by for days, rules, _ in _floors(body)}
    report.floors = [f"{days} days by {', '.join(rules)}" for days, rules in sorted(floors)]
    report.rules = {rule: about["rules"].get(rule, "") for _, rules in sorted(floors) for rule in rules}
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
    recorded = [(s.start_us, s.end_us) for s in segments]
    report.recorded_us = window[1] - window[0] - sum(end - start for start, end in _without(window, recorded))
    for start, end in _without(window, accounted):
        span = f"{report.time(start)} to {report.time(end)}"
        report.worsen("MISSING_UNEXPLAINED", f"{span}: neither recorded nor a declared gap")
    deletions = _deletions(entries, named, report)
    _check_segments(segments, deletions, entries, about, files, report)


def _add_gap(report: Report, gap: Span, cause: str) -> None:
    report.worsen("COMPLETE_WITH_DECLARED_GAPS")
    if cause == "unknown":
        span = f"{report.time(gap[0])} to {report.time(gap[1])}"
        report.worsen("MISSING_UNEXPLAINED", f"{span}: a gap that nothing explains")
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
        at = dt.datetime.fromtimestamp(start_us // 1_000_000, dt.timezone.utc)
        folder = body["camera"] if body["stream"] == "main" else f"{body['camera']}~{body['stream']}"
        yield Segment(
            id=f"{body['camera']}/{body['stream']}/{start_us}-{run}-{number}",
            start_us=start_us,
            end_us=start_us + length,
            bytes=size,
            sha256=from_base64(digest).hex(),
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
        report.notes.append(
            "the files themselves were not looked at, the recorder says they are there: give the volume's folder with "
            "--files to have them hashed"
        )


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


def as_json(report: Report) -> dict[str, Any]:
    """The report for scripts."""
    told = {name: value for name, value in vars(report).items() if name not in ("head", "gaps", "zone", "earlier")}
    told["gaps"] = [{"from": report.time(a), "to": report.time(b), "cause": cause} for a, b, cause in report.gaps]
    told["earlier_keys"] = [{"key": key, "entries": size} for key, size in report.earlier]
    for name in ("from", "until", "made"):
        told[name] = report.time(told.pop(f"{name}_us"))
    if report.head is not None:
        root = base64.b64encode(report.head.root).decode()
        told["checkpoint"] = {"origin": report.head.origin, "size": report.head.size, "root": root}
    return told


def show(report: Report) -> None:
    """The report for people."""
    print(f"{report.verdict}  camera {report.camera}, {report.date}, {report.stream} stream")
    print(f"          {MEANING[report.verdict]}")
    if report.head is not None:
        signed = "signature good" if report.key else "NOT signed by a key that is known"
        print(f"ledger    {report.head.origin}, {report.head.size} entries, {signed}")
    if report.key:
        print(f"key       {report.key} ({'given with --key' if report.key_given else 'from the bundle itself'})")
    for key, size in report.earlier:
        print(f"key       {key} (given with --key) signed the first {size} entries, before the key was changed")
    if report.made_us:
        print(f"made      {report.time(report.made_us)}, by the recorder's clock")
    if report.until_us > report.from_us:
        print(f"window    {report.time(report.from_us)} to {report.time(report.until_us)}")
        whole = report.until_us - report.from_us
        print(f"recorded  {_length(report.recorded_us)} of {_length(whole)}, in {report.segments} files")
        print(f"files     {report.hashed} of them hashed now, {report.deleted} deleted on record")
    for floor in report.floors:
        print(f"floor     {floor}")
    for rule, meaning in report.rules.items():
        print(f"          {rule}: {meaning}")
    for start, end, cause in report.gaps:
        print(f"gap       {report.time(start)} to {report.time(end)}  {cause}")
    for finding in report.findings:
        print(f"!         {finding}")
    for note in report.notes:
        print(f"note      {note}")
    if not report.key_given:
        print(
            "unproved  whose key this is: compare it with the one that the operator has filed, or give that with --key"
        )
    print("unproved  what happened in front of the lens; whether the rules above are all that the law asks")


def _length(us: int) -> str:
    return f"{us // HOUR_US}:{us // 60_000_000 % 60:02}:{us // 1_000_000 % 60:02}.{us // 1000 % 1000:03}"


def main(argv: Sequence[str] | None = None) -> int:
    """Check one bundle and print what was found."""
    parser = argparse.ArgumentParser(description="Checks a retention proof of one camera-day, offline.")
    parser.add_argument("bundle", type=Path, help="the folder that `edged prove day` wrote")
    parser.add_argument(
        "--files", type=Path, action="append", default=[], help="a volume with the recordings; may be given repeatedly"
    )
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        default=[],
        help="the recorder's public key (PEM), got by another way than the bundle; where it was changed, the earlier "
        "one as well",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    arguments = parser.parse_args(argv)
    for folder in (arguments.bundle, *arguments.files):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    try:
        keys = [file.read_bytes() for file in arguments.key]
        for file, pem in zip(arguments.key, keys):
            try:
                read_key(pem)
            except Altered:
                parser.error(f"{file} is not an Ed25519 public key (PEM)")
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    report = verify_bundle(arguments.bundle, arguments.files, keys)
    if arguments.json:
        print(json.dumps(as_json(report), ensure_ascii=False, indent=2, sort_keys=True))
    else:
        show(report)
    return 0 if VERDICTS.index(report.verdict) < 3 else 1


if __name__ == "__main__":
    sys.exit(main())

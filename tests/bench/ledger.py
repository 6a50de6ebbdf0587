"""The ledger at size, and what an inspector waits for: `python -m tests.bench.ledger`, one JSON line a figure.

The ledger is made of a million camera-hour records and deletions; the camera-day has a segment a minute, once with its
files and once deleted past its floor. Hashing is compared with sha256sum over the same files, both out of the page
cache, so that the disk of the machine does not count.
"""

import argparse
import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from edged.archive import tree
from edged.archive.database import open_database, transact
from edged.archive.ledger import LedgerKind, append, entries
from edged.base.clock import DAY, HOUR, MINUTE
from edged.prove.checkpoints import sign_head
from edged.prove.key import open_key
from edged.prove.verify_retention import hash_file, parse_head, verify_inclusion
from tests.bench.figures import check_space, figure, note
from tests.proving import DAY_US, ORIGIN, box
from tests.retaining import START_US

T = TypeVar("T")

LEAVES = 1_000_000
PROOFS = 300
FILM_FILES, FILM_BYTES = 8, 128 * 2**20
SHA256SUM = 0.8  # of its speed


def main() -> int:
    """Run everything; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=LEAVES, help="entries of the ledger")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where to put it meanwhile")
    arguments = parser.parse_args()
    check_space(arguments.folder, bytes_needed(arguments.leaves))
    return 0 if all(run(arguments.folder, arguments.leaves)) else 1


def run(folder: Path, leaves: int) -> list[bool]:
    """Every figure of a ledger of so many entries, and whether it was met; leaves nothing in `folder`."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        return [
            *_ledger(Path(inside), leaves),
            *asyncio.run(_camera_day(Path(inside))),
            *_hashing(Path(inside)),
        ]


def bytes_needed(leaves: int) -> float:
    """What `run` needs of a disk."""
    return leaves * 900 + FILM_FILES * FILM_BYTES


def _ledger(folder: Path, leaves: int) -> list[bool]:
    note(f"appending {leaves:,} entries")
    connection = open_database(folder / "index.db")
    began = time.perf_counter()
    for first in range(0, leaves, 1000):
        transact(connection, _append, first, min(1000, leaves - first))
    appended = time.perf_counter() - began
    connection.close()
    size = sum(path.stat().st_size for path in folder.glob("index.db*"))

    connection = open_database(folder / "index.db")  # cold: nothing of it is in this connection's cache
    key = open_key(folder, ORIGIN)
    note_text, signing = _timed(lambda: transact(connection, sign_head, key, 0))
    head = parse_head(note_text)
    draw = random.Random(1)
    inclusion = []
    for index in draw.sample(range(head.size), PROOFS):
        proof, took = _timed(partial(tree.inclusion_proof, connection, index, head.size))
        inclusion.append(took)
        (entry,) = entries(connection, index, 1)
        assert verify_inclusion(entry.leaf, index, proof, head)
    consistency = [
        _timed(partial(tree.consistency_proof, connection, old, head.size))[1]
        for old in draw.sample(range(1, head.size), PROOFS)
    ]
    connection.close()
    return [
        figure("ledger_append", leaves / appended, "entries/s"),
        figure("ledger_entry_size", size / leaves, "bytes"),
        figure("ledger_head", signing, "s"),
        figure("ledger_inclusion_proof_worst", max(inclusion), "s", 0.2),
        figure("ledger_inclusion_proof_median", sorted(inclusion)[PROOFS // 2], "s"),
        figure("ledger_consistency_proof_worst", max(consistency), "s"),
    ]


def _append(connection: sqlite3.Connection, first: int, count: int) -> None:
    for number in range(first, first + count):
        body: dict[str, Any] = {
            "camera": f"cam-{number % 256}",
            "stream": "main",
            "hour_us": START_US + number // 256 * HOUR,
            "segments": [[minute * MINUTE, MINUTE, 1, minute] for minute in range(5)],
            "bytes": 30_000_000,
            "digest": f"{number:064x}",
            "floor_days": 30,
            "because": "past its floor and the volume needs space",
        }
        append(connection, START_US + number, LedgerKind.SEGMENTS_DELETED, body)


async def _camera_day(folder: Path) -> list[bool]:
    note("a camera-day of 1,440 segments, kept and deleted")
    site_folder = folder / "site"
    site_folder.mkdir()
    async with box(site_folder) as site:
        await site.record(START_US, DAY_US + 25 * HOUR, MINUTE)
        await site.until(DAY_US + 26 * HOUR)
        began = time.perf_counter()
        told = await site.hours.one_pass()
        telling = (time.perf_counter() - began) / told
        kept, gathering = await _timed_async(site.bundle, folder / "kept")
        verified_kept = _script(kept)
        verified_files = _script(kept, "--files", str(site_folder / "disk-0"))
        await site.until(DAY_US + 40 * DAY)
        site.house.batch = 1000
        while (await site.house.one_pass()).erased:
            pass
        deleted = await site.bundle(folder / "deleted")
        verified_deleted = _script(deleted)
    return [
        figure("ledger_camera_hour", telling, "s"),
        figure("proof_day_made", gathering, "s"),
        figure("proof_day_size", sum(path.stat().st_size for path in deleted.iterdir()), "bytes"),
        figure("proof_day_verified", verified_kept, "s", 2),
        figure("proof_day_verified_small_files", verified_files, "s", 2),
        figure("proof_day_verified_deleted", verified_deleted, "s", 2),
    ]


def _script(bundle: Path, *words: str) -> float:
    """Seconds that the script takes as a process of its own, its start included."""
    command = [sys.executable, "-I", str(bundle / "verify_retention.py"), str(bundle), *words]
    _, took = _timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    return took


def _hashing(folder: Path) -> list[bool]:
    note("hashing beside sha256sum")
    film = folder / "film"
    film.mkdir()
    block = os.urandom(2**20)
    files = [film / f"{number}.mp4" for number in range(FILM_FILES)]
    for file in files:
        with file.open("wb") as out:
            for _ in range(FILM_BYTES // len(block)):
                out.write(block)
    names = [str(file) for file in files]
    ours, theirs = [], []
    for _ in range(5):  # in turn, so that both meet the same neighbours; the best of each counts
        theirs.append(_timed(lambda: subprocess.run(["sha256sum", *names], check=True, stdout=subprocess.DEVNULL))[1])
        ours.append(_timed(lambda: [hash_file(file) for file in files])[1])
    speed = FILM_FILES * FILM_BYTES / 2**20
    return [
        figure("hash_speed", speed / min(ours), "MiB/s"),
        figure("sha256sum_speed", speed / min(theirs), "MiB/s"),
        figure("hash_speed_of_sha256sum", min(theirs) / min(ours), "ratio", SHA256SUM, least=True),
    ]


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began


async def _timed_async(act: Callable[..., Any], *words: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = await act(*words)
    return result, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

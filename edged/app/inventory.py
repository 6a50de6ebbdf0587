"""What an index could be rebuilt from: looks at every configured volume and the index itself, and changes nothing."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edged.archive.layout import IDENTITY, JOURNAL, LEDGER, PART, SEGMENTS
from edged.config import Config, VolumeConfig
from edged.prove.offline import check_mirror
from edged.retain.sidecar import HELD, SIDECAR, read_sidecar

_SEGMENT_LINE = b'"kind":"segment"'


@dataclass(slots=True, kw_only=True)
class VolumeInventory:
    """What lies on one volume. `unusable` is empty, or says why nothing can be read from it."""

    volume: str
    unusable: str = ""
    segments: int = 0
    bytes: int = 0
    journalled: int = 0  # segments that its journals name, those deleted since included
    holds: list[str] = field(default_factory=list)
    bad_holds: list[str] = field(default_factory=list)  # folders whose hold.json cannot be understood
    entries: int = 0  # of the ledger's copy
    signed: int = 0  # how many of them the head beside them covers
    damage: list[str] = field(default_factory=list)  # of the ledger's copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything found. `index` is missing, damaged or readable; `index_entries` its ledger's size, where readable."""

    volumes: tuple[VolumeInventory, ...]
    index: str
    index_why: str
    index_entries: int

    @property
    def source(self) -> VolumeInventory | None:
        """The volume whose copy of the ledger reaches furthest, among those without damage."""
        whole = [each for each in self.volumes if each.entries and not each.damage]
        return max(whole, key=lambda each: each.entries, default=None)

    @property
    def missing(self) -> list[str]:
        """What a rebuilt index would lack: one sentence each."""
        source = self.source
        reached = source.entries if source else 0
        newest = max((each.signed for each in self.volumes), default=0)
        found = [f"volume {each.volume} cannot be read: {each.unusable}" for each in self.volumes if each.unusable]
        found += [f"volume {each.volume}: the ledger's copy: {each.damage[0]}" for each in self.volumes if each.damage]
        found += [
            f"volume {each.volume}: {HELD}/{hold}/{SIDECAR} cannot be understood"
            for each in self.volumes
            for hold in each.bad_holds
        ]
        if newest > reached:
            found.append(f"a head of {newest} ledger entries was signed, but no sound copy has more than {reached}")
        if self.index_entries > reached:
            found.append(f"the index here has {self.index_entries} ledger entries, the volumes only {reached}")
        return found


def take_inventory(config: Config) -> Inventory:
    """Look at everything; reads every journal and every copy of the ledger once."""
    state, why, entries = _index(config.recorder.state_dir / "index.sqlite3")
    return Inventory(
        volumes=tuple(_volume(volume, config.recorder.id) for volume in config.volume),
        index=state,
        index_why=why,
        index_entries=entries,
    )


def _volume(configured: VolumeConfig, recorder: str) -> VolumeInventory:
    found = VolumeInventory(volume=configured.id)
    path = configured.path
    try:
        if json.loads((path / IDENTITY).read_bytes())["volume"] != configured.id:
            found.unusable = f"{IDENTITY} there names another volume"
            return found
        if not os.access(path, os.W_OK):
            found.unusable = "the folder cannot be written; check the mount (read-only?) and the owner of the folder"
            return found
        for file in _below(path / SEGMENTS, 2):
            if not file.name.endswith(PART):
                found.segments += 1
                found.bytes += file.stat(follow_symlinks=False).st_size
        for file in _below(path / JOURNAL, 1):
            with open(file.path, "rb") as lines:
                found.journalled += sum(_SEGMENT_LINE in line for line in lines)
        for told in sorted((path / HELD).glob(f"*/{SIDECAR}")):
            (found.holds if read_sidecar(told) is not None else found.bad_holds).append(told.parent.name)
        if (path / LEDGER / recorder).is_dir():
            check = check_mirror(path / LEDGER / recorder)
            found.entries, found.damage = check.entries, check.damage
            found.signed = check.head.size if check.head else 0
    except FileNotFoundError:
        found.unusable = f"there is no {IDENTITY}: is the disk mounted?"
    except (OSError, ValueError, KeyError, TypeError) as error:
        found.unusable = getattr(error, "strerror", None) or f"{IDENTITY} is damaged"
    return found


def _below(folder: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Plain files `depth` folders below; links are not followed."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as items:
        for item in items:
            if depth and item.is_dir(follow_symlinks=False):
                yield from _below(Path(item.path), depth - 1)
            elif not depth and item.is_file(follow_symlinks=False):
                yield item


def _index(path: Path) -> tuple[str, str, int]:
    if not path.exists():
        return "missing", "", 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if sound != "ok":
                return "damaged", sound, 0
            (entries,) = connection.execute("SELECT count(*) FROM ledger").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return "damaged", str(error), 0
    return "readable", "", entries

"""A second name for every held file, and each hold's own file beside it, on every volume.

    <volume>/held/<hold>/hold.json                    the hold as it stands: enough to enter it again in a lost index
    <volume>/held/<hold>/segments/<camera>/<day>/...  hard links to the files it covers

So that a stray `rm` of the segments tree costs no evidence (I2). The index keeps a list of links still to be made
(held_list.py); it grows from what the transaction that places a hold, or indexes a segment, notes by trigger, and a
line leaves it once the link is durable. hold.json is written before the first link and removed after the last. Once two
people have released the hold its links go; where one has become a file's only name, and the index still has the file,
the file is first put back.

With retention.immutable_holds a held file is made immutable besides, once its link is durable (see retain/locks.py).
"""

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from edged.archive.database import Database
from edged.archive.deletions import deleted
from edged.archive.layout import parse_segment_path, segment_path
from edged.archive.schema import MISSING, SEALED
from edged.archive.segments import state_of_file
from edged.archive.volumes import Volume, prove
from edged.base.clock import SECOND, Clock
from edged.base.files import make_folder, replace_file, sync_folder, working_name
from edged.retain.as_told import released_by_the_ledger
from edged.retain.disk import SweptVolume
from edged.retain.held_list import PAGE, Due, links_due, links_made, list_held
from edged.retain.holds import Hold, list_holds
from edged.retain.locks import Link, Locks, StillLocked, held_links, links_of, plan
from edged.retain.sidecar import HELD, SIDECAR, read_sidecar, sidecar

log = logging.getLogger(__name__)

EVERY_S = 2.0


class Evidence:
    """Keeps the links of `volumes` in step with the holds of one index."""

    def __init__(
        self, database: Database, clock: Clock, volumes: Sequence[SweptVolume], *, immutable: bool = False
    ) -> None:
        self._database = database
        self._clock = clock
        self._volumes = volumes
        self._told: dict[tuple[str, str], str] = {}  # by volume and what it is about
        self._locks = {swept.volume.id: Locks(swept.volume, immutable) for swept in volumes}

    @property
    def locks(self) -> Mapping[str, Locks]:
        """By volume id, how far its held files are immutable."""
        return self._locks

    async def run(self) -> None:
        """Keep step until cancelled."""
        while True:
            await self.keep_step()
            await self._clock.sleep(EVERY_S)

    async def keep_step(self) -> None:
        """Make what links are due, write what sidecars differ, take away what is released. A volume that cannot be
        written waits, with a word in the log."""
        willing, more = list(self._volumes), True
        while more:
            more = await self._database.write(list_held)
            # Read behind it: what was listed has a hold here, and its sidecar comes before its links.
            holds = {hold.id: hold for hold in await self._database.read(_believed_holds)}
            for swept in list(willing) if holds else ():
                try:
                    await self._on_volume(swept, holds)
                except OSError as error:
                    self._tell(swept.volume.id, f"held files cannot be linked ({error.strerror}); they are tried again")
                    willing.remove(swept)  # not again for every page that is listed
                else:
                    self._told.pop((swept.volume.id, "links"), None)

    async def _on_volume(self, swept: SweptVolume, holds: dict[str, Hold]) -> None:
        volume, worker = swept.volume, swept.worker
        in_force = [hold for hold in holds.values() if hold.released_us is None]
        present = await worker.run(_sidecars, volume, in_force)
        if present is None:
            return  # not the disk it should be: whoever proves volumes says so
        locks = self._locks[volume.id]
        if not locks.settled:
            await self._settle(swept, {hold.id for hold in in_force})
        elif locks.waiting:
            await worker.run(locks.lock, sorted(locks.waiting))
        behind, locked = 0, False
        while due := await self._database.read(links_due, volume.no, behind):
            behind = due[-1].rowid
            made = await worker.run(_link, locks, due)
            await self._database.write(links_made, made)
            locked |= len(made) < len(due)
        if locked:
            raise StillLocked
        for name in present:
            hold = holds.get(name)
            if hold is not None and hold.released_us is not None:
                lonely = await worker.run(_lonely, volume, hold)
                wanted = await self._database.read(_still_indexed, volume.no, lonely)
                others = [one.id for one in in_force if one.id in present]
                gone = await self._database.read(_announced, set(lonely) - wanted)
                await worker.run(_take_away, locks, hold, others, wanted, gone)

    async def _settle(self, swept: SweptVolume, in_force: Collection[str]) -> None:
        """Set right what a crash, a failure or another configuration left, a page at a time: others want the disk."""
        locks = self._locks[swept.volume.id]
        found = plan(await swept.worker.run(held_links, swept.volume), in_force, wanted=locks.wanted)
        for act, links in ((locks.unlock, found.unlock), (locks.lock, found.lock)):
            for first in range(0, len(links), PAGE):
                try:
                    await swept.worker.run(act, links[first : first + PAGE])
                except StillLocked as error:  # what is to be done besides does not wait for it
                    self._tell(swept.volume.id, str(error.strerror), "locks")
                    break
        locks.settled = True

    def _tell(self, volume: str, what: str, about: str = "links") -> None:
        if self._told.get((volume, about)) != what:
            log.error("volume %s: %s", volume, what)
        self._told[volume, about] = what


def _believed_holds(connection: sqlite3.Connection) -> list[Hold]:
    """Every hold; without those whose release the index alone tells of: nothing is done for those before they are in
    force again (retain/as_told.py)."""
    released = released_by_the_ledger(connection)
    return [hold for hold in list_holds(connection, True) if hold.released_us is None or hold.id in released]


def _sidecars(volume: Volume, in_force: list[Hold]) -> list[str] | None:
    """Write the sidecars that differ; the folders there are, or None where the disk is not the volume's."""
    if prove(volume):
        return None
    for hold in in_force:
        file, content = volume.path / HELD / hold.id / SIDECAR, sidecar(hold)
        if not file.exists() or file.read_bytes() != content:
            make_folder(file.parent)
            replace_file(file, content)
    try:
        return sorted(os.listdir(volume.path / HELD))
    except FileNotFoundError:
        return []


def _link(locks: Locks, due: list[Due]) -> list[int]:
    """Durable links for `due`, locked then; returns the rows that are done with. A file that is not there is left to
    whoever compares the disk with the index, and one that may not be unlocked is in no danger meanwhile."""
    root = str(locks.volume.path)
    folders: set[str] = set()
    done: list[Due] = []
    for one in due:
        # As text: a hold has many files, and a Path costs more than the link.
        segment, link = f"{root}/{one.file}", f"{root}/{HELD}/{one.hold}/{one.file}"
        folder = os.path.dirname(link)
        if folder not in folders:
            make_folder(Path(folder))
            folders.add(folder)
        try:
            _link_one(locks, segment, link)
        except (FileExistsError, FileNotFoundError):
            pass
        except StillLocked:
            continue
        done.append(one)
    for folder in folders:
        sync_folder(Path(folder))
    locks.lock(Link(one.hold, one.file) for one in done)
    locks.settled = True
    return [one.rowid for one in done]


def _link_one(locks: Locks, segment: str, link: str) -> None:
    try:
        os.link(segment, link)
    except PermissionError:
        if not locks.unlock_name(Path(segment)):  # so it was not another hold that forbade it
            raise
        try:
            os.link(segment, link)
        except OSError:
            locks.lock_name(Path(segment))
            raise


def _lonely(volume: Volume, hold: Hold) -> list[PurePosixPath]:
    """Files of the segments tree that the hold's links alone still keep."""
    return [file for file in links_of(volume, hold.id) if not (volume.path / file).exists()]


def _take_away(
    locks: Locks, hold: Hold, others: Collection[str], wanted: set[PurePosixPath], gone: set[PurePosixPath]
) -> None:
    """Remove a released hold's links, sidecar last. `wanted` are put back first; `gone` were deleted lawfully. What
    `others`, in force, have a link to as well is locked again."""
    volume = locks.volume
    folder = volume.path / HELD / hold.id
    if prove(volume):
        return
    known = read_sidecar(folder / SIDECAR) if (folder / SIDECAR).exists() else None
    if known is not None and known.placed_us != hold.placed_us:
        log.error("volume %s: %s there is another hold of that name and stays", volume.id, hold.id)
        return
    for file in links_of(volume, hold.id):
        segment = volume.path / file
        locks.unlock([Link(hold.id, file)])
        try:
            if file in wanted and not segment.exists():
                make_folder(segment.parent)
                os.link(folder / file, segment)
                sync_folder(segment.parent)
            if segment.exists() or file in gone:
                os.unlink(folder / file)
        finally:
            locks.lock(Link(other, file) for other in others if (volume.path / HELD / other / file).exists())
    locks.settled = True
    for below, _, files in os.walk(folder, topdown=False):
        if Path(below) != folder and not files and not os.listdir(below):
            os.rmdir(below)
    working_name(folder / SIDECAR).unlink(missing_ok=True)  # what a crash in the middle of replacing it left
    if set(os.listdir(folder)) <= {SIDECAR}:
        (folder / SIDECAR).unlink(missing_ok=True)
        os.rmdir(folder)
        sync_folder(folder.parent)


def _announced(connection: sqlite3.Connection, files: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Which of `files` the ledger has on record as deleted. What neither index nor ledger knows keeps its last name."""
    found: set[PurePosixPath] = set()
    for file in files:
        name = parse_segment_path(file)
        if name is None:
            continue
        at_us = name.start_s * SECOND
        if any(segment_path(*key) == file for key in deleted(connection, name.camera, name.stream, at_us, at_us)):
            found.add(file)
    return found


def _still_indexed(
    connection: sqlite3.Connection, volume_no: int, files: Iterable[PurePosixPath]
) -> set[PurePosixPath]:
    """Which of `files` the index still has, and does not mean to delete."""
    return {file for file in files if state_of_file(connection, volume_no, file) in (SEALED, MISSING)}

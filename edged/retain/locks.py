"""The immutable attribute on held files of one volume: not even root removes them by accident (I2).

A file has it from when its link under held/ is durable until no hold in force names it. An immutable file takes no new
name and loses none, so whoever links or unlinks a held file unlocks it first and locks it again while it is still held.
A crash between the two leaves a file too open, one in the middle of a release a file too closed; `plan` finds both, and
is carried out once per start and volume, and again after every failure.

Where the attribute cannot be set, that is said once and the links alone have to do.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edged.archive.volumes import Volume
from edged.base.immutable import CANNOT, is_immutable, set_immutable
from edged.retain.sidecar import HELD

log = logging.getLogger(__name__)


class StillLocked(PermissionError):
    """A file is immutable and this process may not change that."""

    def __init__(self) -> None:
        super().__init__(
            errno.EPERM,
            "a file under held/ is immutable and edged may not change that: give it CAP_LINUX_IMMUTABLE, or use"
            " chattr -i",
        )


class Link(NamedTuple):
    """A held file's name below held/<hold>."""

    hold: str
    file: PurePosixPath  # also its name below the volume


class Plan(NamedTuple):
    """Links whose files are to be locked, and links whose files are not."""

    lock: list[Link]
    unlock: list[Link]


def plan(links: Mapping[str, Collection[PurePosixPath]], in_force: Collection[str], *, wanted: bool) -> Plan:
    """What the attribute of each file should be, by the holds that have a link to it; each file is named once."""
    lock: dict[PurePosixPath, Link] = {}
    unlock: dict[PurePosixPath, Link] = {}
    for hold, files in links.items():
        for file in files:
            (lock if wanted and hold in in_force else unlock).setdefault(file, Link(hold, file))
    return Plan(list(lock.values()), [link for file, link in unlock.items() if file not in lock])


def kept_as(to_link: int, volumes: Iterable["Locks"]) -> str:
    """How a hold's files are kept, for people: what is still to be done, else the weaker of what the volumes have."""
    among = list(volumes)
    if to_link:
        return f"{to_link} to link"
    if not among or not all(locks.works for locks in among):
        return "linked"
    waiting = sum(len(locks.waiting) for locks in among)
    return f"linked, {waiting} not yet immutable" if waiting else "immutable"


class Locks:
    """The attribute on one volume. What touches the disk blocks, and belongs on the volume's own thread.

    `refused` says why the attribute cannot be set, or is empty; `waiting` are links whose files cannot have it yet.
    """

    def __init__(self, volume: Volume, wanted: bool) -> None:
        self.volume = volume
        self.wanted = wanted
        self.settled = False
        self.refused = ""
        self.waiting: set[Link] = set()

    @property
    def works(self) -> bool:
        """Whether held files get the attribute here."""
        return self.wanted and self.settled and not self.refused

    def lock(self, links: Iterable[Link]) -> None:
        """Make the files of these durable links immutable. Raises OSError, but not where that cannot be done here."""
        holds = _listed(self.volume)
        for link in links:
            if not self.wanted or self.refused:
                return
            self.waiting.discard(link)
            try:
                if self._has_other_names(link, holds):
                    self.waiting.add(link)
                else:
                    set_immutable(self._path(link), True)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in CANNOT:
                    raise
                self._refuse(error)

    def unlock(self, links: Iterable[Link]) -> None:
        """Take the attribute away. Raises OSError, and StillLocked where that is not allowed."""
        for link in links:
            self.waiting.discard(link)
            with contextlib.suppress(FileNotFoundError):
                self.unlock_name(self._path(link))

    def unlock_name(self, path: Path) -> bool:
        """As `unlock`, of a file by any of its names; whether it had the attribute. Until whoever asked says it is
        `settled` again, the next step looks at all files. Raises OSError, StillLocked."""
        if not is_immutable(path):
            return False
        try:
            set_immutable(path, False)
        except PermissionError as error:
            raise StillLocked from error
        self.settled = False
        return True

    def lock_name(self, path: Path) -> None:
        """Lock again at once what `unlock_name` has unlocked in vain. Raises OSError."""
        if self.wanted:
            set_immutable(path, True)

    def _has_other_names(self, link: Link, holds: Collection[str]) -> bool:
        """The recorder's recovery lets go of a segment's working name last: until then it must not be immutable."""
        stat = self._path(link).stat()
        known = 0
        for name in (link.file, *(PurePosixPath(HELD, hold) / link.file for hold in holds)):
            try:
                known += os.path.samestat(stat, (self.volume.path / name).stat())
            except FileNotFoundError:
                continue
        return stat.st_nlink > known

    def _path(self, link: Link) -> Path:
        return self.volume.path / HELD / link.hold / link.file

    def _refuse(self, error: OSError) -> None:
        self.refused = error.strerror or type(error).__name__
        self.waiting.clear()
        log.warning(
            "volume %s: held files cannot be made immutable (%s); their second names protect them as before. It takes"
            " CAP_LINUX_IMMUTABLE and a file system that knows the attribute",
            self.volume.id,
            self.refused,
        )


def held_links(volume: Volume) -> dict[str, list[PurePosixPath]]:
    """By hold the files it has links to, as the disk has them."""
    return {hold: links_of(volume, hold) for hold in _listed(volume)}


def links_of(volume: Volume, hold: str) -> list[PurePosixPath]:
    """The files that a hold has links to, in order."""
    folder = volume.path / HELD / hold
    return sorted(PurePosixPath(file.relative_to(folder)) for file in folder.glob("segments/*/*/*") if file.is_file())


def _listed(volume: Volume) -> list[str]:
    try:
        return sorted(os.listdir(volume.path / HELD))
    except FileNotFoundError:
        return []

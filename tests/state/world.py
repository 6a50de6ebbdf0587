"""What lies outside edged: true time and the clocks that tell it, two disks and where they are mounted, cameras, and a
recorder that leaves files and journal lines. Everything on the disks is real; only time is made.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from edged.archive.journal import encode
from edged.archive.layout import journal_path, segment_path
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Space
from edged.base.clock import HOUR, MINUTE, SECOND, ManualClock
from edged.base.spans import Span
from edged.model import Cause, Designation, Fact, Loss, Place, Situation, StreamKind
from tests.archive_kit import leave_segment
from tests.state.laws import START_US

RECORDER = "nvr"
DISKS = ("disk-a", "disk-b")
CAMERAS: dict[str, tuple[Place, str]] = {
    "cam-1": ("listed", "disk-a"),
    "cam-2": ("other", "disk-b"),
    "cam-3": ("other", "disk-a"),
}
SEGMENT_BYTES = 100


@dataclass
class Footage:
    """One segment as it really is: recorded at `true_end_us`, whatever its label says.

    `line` is its journal line while that is still owed; `gone` says who took its file away: "edged" or "outside".
    """

    key: SegmentKey
    disk: str
    label: Span
    true_end_us: int
    file: Path  # below the disk's own folder, wherever it is mounted
    line: bytes
    sha256: str
    owed: bool = True
    gone: str = ""
    linked: bool = False  # gone from its place while a hold's link still keeps it
    floor_days: int = 0
    on_record: bool = False  # its hour's record in the ledger names it
    indexed_us: int = 0  # true time

    @property
    def camera(self) -> str:
        return self.key.camera


@dataclass(frozen=True)
class Lost:
    """What a disk could not take of a camera; its line ends at the byte `end` of the journal `file`."""

    camera: str
    disk: str
    span: Span
    file: str  # below the disk's own folder
    end: int


@dataclass
class World:
    """`error_us` of the wall clock is what it tells beyond true time; `ntp` what the kernel would say of it."""

    root: Path
    true_us: int = START_US
    ntp: bool = True
    law: str = "base"
    run: int = 1
    seq: int = 0
    nudged: bool = False  # was the wall clock ever wrong by a step so small that nobody has to vouch for it
    worst_error_us: int = 0
    index_is_new: bool = False  # its retention clock has not begun
    passed_us: int = START_US  # when the retention clock was last moved
    unseen_us: int = 0  # since it last had a time service's word
    worst_unseen_us: int = 0
    free: str = "plenty"
    ever_designated: set[str] = field(default_factory=set)
    configured: set[str] = field(default_factory=lambda: set(CAMERAS))
    designations: dict[str, tuple[Designation, ...]] = field(default_factory=lambda: dict.fromkeys(CAMERAS, ()))
    footage: list[Footage] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    ticks: int = 0
    torn: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.clock = ManualClock(self.true_us)
        (self.root / "state").mkdir(parents=True)
        (self.root / "mnt").mkdir()
        (self.root / "bare").mkdir()  # what is left under a mount point without its disk
        self.mounted: dict[str, str] = {}
        for disk in DISKS:
            (self.root / "disks" / disk).mkdir(parents=True)
            self.mount(disk, disk)

    # --- time -----------------------------------------------------------------------------------------------------

    @property
    def error_us(self) -> int:
        return self.clock.wall_us() - self.true_us

    def pass_time(self, us: int) -> None:
        if self.error_us < 0:  # perhaps behind the retention clock, which waits for it then
            self._not_seen(us)
        self.clock.advance(us / SECOND)
        self.true_us += us

    def set_wall(self, at_us: int) -> None:
        """Somebody, or a dead battery, sets the wall clock: the kernel no longer calls it synchronised.

        No footage ends at the very instant: whether that was before or after, its label would not tell.
        """
        self.pass_time(SECOND)
        before = self.error_us
        self.clock.step_wall((at_us - self.clock.wall_us()) / SECOND)
        self._erred(self.error_us - before)
        self.ntp = False
        self.run += 1
        self.pass_time(SECOND)

    def synchronise(self) -> None:
        """A time service sets the wall clock right and vouches for it from now on."""
        if self.error_us:
            self.set_wall(self.true_us)
        self.ntp = True

    def power_off(self, off_us: int, rtc: str) -> None:
        """The box is dark for `off_us`; `rtc` tells what its clock makes of that."""
        before = self.error_us
        self.clock.reboot(off_us / SECOND)
        self.true_us += off_us
        # Nor does anything remember how long this boot ran since the last pass.
        self._not_seen(self.true_us - self.passed_us)
        self.passed_us = self.true_us
        wall = self.clock.wall_us()
        told = {"runs": wall, "stood still": wall - off_us, "1970": 200 * SECOND, "local time": wall - 8 * HOUR}[rtc]
        # Linux takes no time before 1970.
        self.clock.step_wall((max(told, 200 * SECOND) - wall) / SECOND)
        self._erred(self.error_us - before)
        self.ntp = False
        self.run += 1
        self.pass_time(SECOND)

    def passed(self, *, trusted: bool) -> None:
        """A pass has moved the retention clock."""
        self.passed_us = self.true_us
        if self.index_is_new and not self.ntp:  # then it began at the last instant that the ledger tells
            self._not_seen(self.true_us - START_US)
        self.index_is_new = False
        if self.ntp and trusted:
            self.unseen_us = 0

    def _not_seen(self, us: int) -> None:
        """Time that the retention clock may not have counted adds up, until somebody vouches for all of it at once."""
        self.unseen_us += us
        self.worst_unseen_us = max(self.worst_unseen_us, self.unseen_us)

    def _erred(self, change_us: int) -> None:
        self.nudged |= 0 < abs(change_us) <= HOUR
        self.worst_error_us = max(self.worst_error_us, abs(self.error_us), abs(change_us))

    def situation(self, camera: str) -> Situation:
        """As the configuration gives it."""
        return Situation(CAMERAS[camera][0], self.designations[camera])

    # --- disks ----------------------------------------------------------------------------------------------------

    def path(self, disk: str) -> Path:
        """The mount point of `disk`: what the configuration names."""
        return self.root / "mnt" / disk

    def own(self, disk: str) -> Path:
        """Where the disk's content lies, wherever it is mounted."""
        return self.root / "disks" / disk

    def mount(self, point: str, what: str) -> None:
        """Put a disk, the "bare" folder or nothing ("") under a mount point."""
        link = self.path(point)
        link.unlink(missing_ok=True)
        if what:
            link.symlink_to(self.root / "bare" if what == "bare" else self.own(what))
        self.mounted[point] = what

    def in_place(self, disk: str) -> bool:
        return self.mounted[disk] == disk

    def space(self, path: Path) -> Space | None:
        """What the file system tells that edged asks about `path`: the port through which others fill it."""
        match self.free:
            case "unreadable":
                return None
            case "plenty":
                return Space(2**40, 2**39)
            case "stuck":  # full, and no deletion is ever seen to help
                return Space(2**40, 0)
        used = sum(file.stat().st_size for file in path.resolve().glob("segments/*/*/*.mp4"))
        return Space(2**40, 2**20 - used)  # always below the reserve, and a little freer with every file that goes

    # --- the recorder -----------------------------------------------------------------------------------------------

    def record(self, camera: str, length_us: int = MINUTE) -> Footage | None:
        """One segment that ends now, published but not journalled; None where its disk is not in its place."""
        disk = CAMERAS[camera][1]
        if not self.in_place(disk):
            return None
        self.seq += 1
        end = self.clock.wall_us()
        key = SegmentKey(camera, StreamKind.MAIN, end - length_us, self.run, self.seq)
        fact = leave_segment(
            self.own(disk),
            key,
            end,
            SEGMENT_BYTES,
            boot_id=self.clock.boot_id(),
            start_mono_us=max(0, self.clock.monotonic_us() - length_us),
        )
        file = self.own(disk) / segment_path(*key)
        self.touch(file.parent)
        made = Footage(key, disk, Span(end - length_us, end), self.true_us, file, encode(fact), fact.sha256)
        self.footage.append(made)
        return made

    def tell(self, disk: str, *lines: bytes, torn: bool = False) -> tuple[str, int]:
        """Append to the journal of a disk; a torn end that a crash left is ended first, as the recorder does.

        Returns which file that is, and where it ends now."""
        below = journal_path(RECORDER, self.clock.wall_us())
        journal = self.own(disk) / below
        journal.parent.mkdir(parents=True, exist_ok=True)
        with journal.open("ab") as file:
            if journal in self.torn:
                file.write(b"\n")
                self.torn.discard(journal)
            file.write(b"".join(lines))
            if torn:
                self.torn.add(journal)
        return str(below), journal.stat().st_size

    def tell_fact(self, camera: str, *facts: Fact) -> None:
        self.tell(CAMERAS[camera][1], *map(encode, facts))

    def lose(self, camera: str, span: Span) -> None:
        disk = CAMERAS[camera][1]
        stream = StreamKind.MAIN
        loss = Loss(camera=camera, stream=stream, **span._asdict(), cause=Cause.DISK, packets=0, frames=3)
        self.lost.append(Lost(camera, disk, span, *self.tell(disk, encode(loss))))

    def journal(self, footage: Footage, times: int = 1) -> None:
        self.tell(footage.disk, *[footage.line] * times)
        footage.owed = False

    def touch(self, folder: Path) -> None:
        """What changed a folder gives it a new date, by the box's own clock; the kernel would give it that of today."""
        self.ticks += 1
        now_ns = self.clock.wall_us() * 1000 + self.ticks
        os.utime(folder, ns=(now_ns, now_ns))

    def names_of(self, footage: Footage) -> list[Path]:
        """Where its bytes can still be read: its own place, and the links of holds."""
        below = footage.file.relative_to(self.own(footage.disk))
        links = self.own(footage.disk).glob(f"held/*/{below}")
        return [name for name in (footage.file, *links) if name.exists()]

    def remove(self) -> None:
        shutil.rmtree(self.root)


def scratch() -> str | None:
    """A folder in memory where there is one: nothing here depends on what a disk remembers over a power cut."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None

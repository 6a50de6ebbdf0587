"""What happens to the box by itself: footage, time, and disks."""

import errno
import os

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.base.errors import Refused
from edged.base.spans import Span
from edged.model import Cause, StreamDown, StreamKind, StreamUp
from edged.retain.timekeeping import confirm, reading
from tests.state.controller import until_cut
from tests.state.life import Life, cameras, disks, people, steps
from tests.state.world import CAMERAS, DISKS

YEAR = 365 * DAY
IN_2036 = 2_086_000_000 * SECOND
WALL_STEPS = (2 * MINUTE, 4 * MINUTE, 20 * MINUTE, HOUR, 8 * HOUR, 23 * HOUR, 3 * DAY, 40 * DAY, YEAR, 8 * YEAR)
WHILES = (MINUTE, 30 * MINUTE, 2 * HOUR, 10 * HOUR, DAY, 6 * DAY, 16 * DAY, 34 * DAY)


class Happenings(Life):
    """The recorder writes, clocks go wrong, disks come and go."""

    # --- footage ----------------------------------------------------------------------------------------------------

    @rule(camera=cameras, line=st.sampled_from(["on time", "on time", "late", "twice", "torn"]))
    def record(self, camera: str, line: str) -> None:
        made = self.world.record(camera) if camera in self.world.configured else None
        if made is None:
            return
        if line == "torn":
            self.world.tell(made.disk, made.line[: len(made.line) // 2], torn=True)
        elif line != "late":
            self.world.journal(made, 2 if line == "twice" else 1)
        self.reached[f"line {line}"] += 1

    @rule()
    def late_lines(self) -> None:
        for footage in self.world.footage:
            if footage.owed and self.world.in_place(footage.disk):
                self.world.journal(footage)

    @rule(camera=cameras, cause=st.sampled_from([Cause.UNREACHABLE, Cause.STALLED]), back=st.integers(0, HOUR))
    def stream_lost(self, camera: str, cause: Cause, back: int) -> None:
        at, mono, boot = self.world.clock.wall_us(), self.world.clock.monotonic_us(), self.world.clock.boot_id()
        where = {"camera": camera, "stream": StreamKind.MAIN, "mono_us": mono, "boot_id": boot}
        last = max(0, at - back)
        down = StreamDown(**where, at_us=at, cause=cause, last_frame_us=last, code="REC-001")  # type: ignore[arg-type]
        if self.world.in_place(CAMERAS[camera][1]):
            self.world.tell_fact(camera, down, StreamUp(**where, at_us=at + MINUTE))  # type: ignore[arg-type]

    @rule(camera=cameras, length=st.integers(1, 5 * MINUTE))
    def disk_loses(self, camera: str, length: int) -> None:
        end = self.world.clock.wall_us()
        if self.world.in_place(CAMERAS[camera][1]):
            self.world.lose(camera, Span(max(0, end - length), end))

    @precondition(Life.is_up)
    @rule(cut=st.none() | steps)
    def read_journals(self, cut: int | None) -> None:
        self._cut_at(cut)
        done = self.run(until_cut(self.up.intake.catch_up()))
        self.step.never()
        if done is None:
            self._cut()
        else:
            self.oracle.indexed(set(self.up.intake.stopped))
            self._end_after(cut)

    @rule(number=st.integers(0, 10**6))
    def somebody_removes_a_file(self, number: int) -> None:
        there = [footage for footage in self.world.footage if not footage.gone and footage.file.exists()]
        if there:
            footage = there[number % len(there)]
            footage.file.unlink()
            self.world.touch(footage.file.parent)
            footage.gone, footage.linked = "outside", bool(self.world.names_of(footage))
            self.reached["file removed outside"] += 1

    # --- time -------------------------------------------------------------------------------------------------------

    @rule(us=st.sampled_from(WHILES))
    def time_passes(self, us: int) -> None:
        self.world.pass_time(us)

    @rule(us=st.sampled_from(WALL_STEPS), sign=st.sampled_from([-1, 1]))
    def wall_clock_jumps(self, us: int, sign: int) -> None:
        self.world.set_wall(max(200 * SECOND, self.world.clock.wall_us() + sign * us))
        self.reached["wall clock jumped"] += 1

    @rule(at_us=st.sampled_from([200 * SECOND, IN_2036]))
    def wall_clock_is_reset(self, at_us: int) -> None:
        self.world.set_wall(at_us)
        self.reached["wall clock reset"] += 1

    @rule()
    def time_service_answers(self) -> None:
        self.world.synchronise()

    @rule()
    def time_service_is_lost(self) -> None:
        self.world.ntp = False

    @rule(off=st.sampled_from(WHILES), rtc=st.sampled_from(["runs", "stood still", "1970", "local time"]))
    def power_fails(self, off: int, rtc: str) -> None:
        self._kill()
        self.world.power_off(off, rtc)
        self.reached["power failed"] += 1

    @precondition(Life.is_up)
    @rule(liars=st.integers(0, 2))
    def cameras_tell_their_time(self, liars: int) -> None:
        """Twice, as discovery asks; liars agree with whatever the box believes."""
        for _ in range(2):
            self.world.pass_time(MINUTE)
            for number, name in enumerate(sorted(CAMERAS)):
                wall = self.world.clock.wall_us()
                self.jitter = getattr(self, "jitter", 0) + 1
                offset = self.jitter + (0 if number < liars else -self.world.error_us)
                self.up.clocks.hear(name, offset, wall, self.world.clock.monotonic_us())
        self.reached["cameras told their time"] += 1

    @precondition(Life.is_up)
    @rule(by=people)
    def somebody_confirms_the_clock(self, by: str) -> None:
        """One person may err; two do not confirm a wrong clock."""
        who = by if abs(self.world.error_us) < MINUTE else "ann"
        try:
            time = self.run(self.up.database.write(confirm, who, reading(self.world.clock)))
        except Refused:
            return
        self.reached["clock confirmed"] += time is not None

    # --- volumes ----------------------------------------------------------------------------------------------------

    @rule(disk=disks, to=st.sampled_from(["", "bare"]))
    def disk_is_gone(self, disk: str, to: str) -> None:
        if self.world.in_place(disk):
            self.world.mount(disk, to)

    @rule()
    def disks_are_swapped(self) -> None:
        for one, other in zip(DISKS, reversed(DISKS), strict=True):
            self.world.mount(one, other)
        self.reached["disks swapped"] += 1

    @rule()
    def disks_are_back(self) -> None:
        for disk in DISKS:
            self.world.mount(disk, disk)

    @rule(what=st.sampled_from(["plenty", "limited", "limited", "stuck", "unreadable"]))
    def others_use_the_disk(self, what: str) -> None:
        self.world.free = what
        self.oracle.was_short |= what in ("limited", "stuck")

    @rule(code=st.sampled_from([errno.EIO, errno.EBUSY, errno.EROFS]), times=st.integers(1, 3))
    def disk_refuses(self, code: int, times: int) -> None:
        self.oracle.failures = [OSError(code, os.strerror(code)) for _ in range(times)]

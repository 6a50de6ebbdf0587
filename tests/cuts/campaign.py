"""Cuts one act at many of its steps, and compares what the next start makes of each with what it should be.

One run of an act is photographed before each of its steps: that is the disk which a SIGKILL there leaves. Steps that
leave it alike (a sync changes nothing that a kill could undo) are looked at once. `kills` really kills, run after run.
"""

import asyncio
import itertools
import multiprocessing
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edged.base.clock import MINUTE
from tests.cuts import album, picture
from tests.cuts.acts import ACTS
from tests.cuts.box import Act, Tells
from tests.cuts.picture import Picture
from tests.cuts.reins import Ride, Step, ride
from tests.powercut.powered import PoweredDisk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut, before step `number` of the act, and what was wrong after the next start."""

    number: int
    before: Step
    words: tuple[str, ...]
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        said = f", after {' and '.join(self.words)}" if self.words else ""
        return f"{self.number}: before {self.before}{said}: {'; '.join(self.wrong[:3]) or 'well'}"


@dataclass(frozen=True, slots=True)
class _Left:
    """What a cut would leave: a copy of the box, and what had been promised."""

    number: int
    before: Step
    words: tuple[str, ...]
    photograph: Path


class Campaign:
    """One act in one folder. `steps` are those of the act where nothing is cut."""

    def __init__(self, name: str, folder: Path) -> None:
        self.act: Act = ACTS[name]
        self.steps: list[Step] = []
        self.recovered = 0  # of all cuts so far, those that left something else than one before
        self._box = self.act.box(folder)
        self._ends: list[Picture] = []  # after so many words

    def begin(self) -> list[str]:
        """Prepare the box and find out how it ends when nothing is cut; what is wrong already then."""
        _apart(lambda: self.act.prepare(self._box))
        self._box.keep("prepared")
        uncut = self._perform()
        self.steps = uncut.steps
        whole, wrong = self._start()
        for words in range(len(uncut.words) + 1):
            self._perform(leave_after=words)
            end, faults = self._start()
            self._ends.append(end)
            wrong += faults
        return [f"uncut: {fault}" for fault in wrong + picture.differences(whole, self._ends[-1])]

    def cuts(self, numbers: Sequence[int]) -> Iterator[Cut]:
        """Cut before each of these steps of one run."""
        yield from self._looked_at(self._photographed_steps(frozenset(numbers)))

    def kills(self, numbers: Sequence[int]) -> Iterator[Cut]:
        """The same by SIGKILL, a run for each. One that a run does not reach (threads take turns) is left out."""
        for number in numbers:

            def go_on(ride: Ride, number: int = number) -> bool:
                return len(ride.steps) < number

            done = self._perform(before_step=go_on)
            if done.killed:
                end, faults = self._start()
                faults += self._judge(end, len(done.words))
                yield Cut(number, done.steps[-1], tuple(done.words), tuple(faults))

    def power_cuts(self, most: int, seed: int, *, half_written: bool) -> Iterator[Cut]:
        """Cut the power after at most `most` steps of one run, on a disk that forgets what was not synced.

        Where it was `half_written` part of that survives.
        """
        box, folder = self._box, self._box.folder / f"powered-{half_written}-{seed}"
        disk = PoweredDisk(folder)
        subprocess.run(["cp", "-a", box.folder / "prepared", disk.backing / "box"], check=True)
        box.take_away()
        with disk:
            box.root.symlink_to(disk.path / "box")
            told = _photographed(lambda cue: self.act.perform(box, cue), disk, folder / "album", half_written, seed)
        before = Step("power", "half written" if half_written else "nothing unsynced left")
        steps = sorted(int(one.name) for one in (folder / "album").iterdir())
        yield from self._looked_at(
            _Left(step, before, tuple(word for word, at in told if at <= step), folder / "album" / str(step) / "box")
            for step in sorted(random.Random(seed).sample(steps, min(most, len(steps))))
        )
        shutil.rmtree(folder)

    def _photographed_steps(self, numbers: Collection[int]) -> list[_Left]:
        """One run, and what lies on the disk before each of these steps."""
        found: list[_Left] = []
        folder = Path(tempfile.mkdtemp(prefix="album-", dir=self._box.folder))

        def photograph(ride: Ride) -> bool:
            number = len(ride.steps)
            if number in numbers:
                found.append(_Left(number, ride.steps[-1], tuple(ride.words), folder / str(number)))
                album.copy(self._box.root, folder / str(number))
            return True

        self._perform(before_step=photograph)
        return found

    def _looked_at(self, cuts: Iterable[_Left]) -> Iterator[Cut]:
        """What a start makes of each; once of those that look alike, and each is judged by its own promises."""
        ends: dict[str, tuple[Picture, list[str]]] = {}
        for cut in cuts:
            looks = album.looks(cut.photograph)
            if looks not in ends:
                self._box.put_back(cut.photograph)
                ends[looks] = self._start()
            album.remove(cut.photograph)
            end, faults = ends[looks]
            yield Cut(cut.number, cut.before, cut.words, tuple(faults + self._judge(end, len(cut.words))))
        self.recovered += len(ends)

    def _perform(
        self, *, before_step: Callable[[Ride], bool] = lambda ride: True, leave_after: int | None = None
    ) -> Ride:
        box, act = self._box, self.act
        box.put_back(box.folder / "prepared")
        return ride(
            lambda cue: asyncio.run(act.perform(box, cue)), box.root, before_step=before_step, leave_after=leave_after
        )

    def _start(self) -> tuple[Picture, list[str]]:
        """What a start makes of the box, and what is wrong with it. A second start must find nothing left to do."""
        return _apart(self._two_starts)

    async def _two_starts(self) -> tuple[Picture, list[str]]:
        box, at_us = self._box, self.act.start_us
        self.act.meanwhile(box)
        await box.start_and_stop(at_us)
        first, wrong = await picture.take(box)
        await box.start_and_stop(at_us + MINUTE)
        second, _ = await picture.take(box)
        return first, wrong + [f"changed by a second start: {line}" for line in picture.differences(second, first)]

    def _judge(self, end: Picture, words: int) -> list[str]:
        """What was acknowledged is there; what was under way is there as a whole, or not at all."""
        fits = [picture.differences(end, expected) for expected in self._ends[words : words + 2]]
        return [] if not all(fits) else min(fits, key=len)


def chosen(steps: Sequence[Step], most: int, seed: int) -> list[int]:
    """At most `most` step numbers of `steps`, all where they are fewer; the same ones for the same seed.

    A commit writes many pages one after the other into one file, and a cut between two of them is like the next. So the
    first and the last of such a row come before the others.
    """
    rows = [list(row) for _, row in itertools.groupby(range(1, len(steps) + 1), key=lambda number: steps[number - 1])]
    telling = sorted({number for row in rows for number in (row[0], row[-1])})
    others = sorted(set(range(1, len(steps) + 1)) - set(telling))
    draw = random.Random(seed)
    if len(telling) > most:
        return sorted(draw.sample(telling, most))
    return sorted(telling + draw.sample(others, min(len(others), most - len(telling))))


def _photographed(
    act: Callable[[Tells], Coroutine[Any, Any, None]], disk: PoweredDisk, album: Path, half_written: bool, seed: int
) -> list[tuple[str, int]]:
    """Perform the act before the camera; what it promised, and how many steps had been done then."""

    class Cue:
        def __init__(self) -> None:
            self.words: list[tuple[str, int]] = []

        def begin(self) -> None:
            disk.photograph(album, seed if half_written else None)

        def told(self, word: str) -> None:
            self.words.append((word, disk.steps()))

    async def perform() -> list[tuple[str, int]]:
        cue = Cue()
        await act(cue)
        return cue.words

    return _apart(perform)


def _apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `work` in a process of its own: what forks has to stay free of threads."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=lambda: theirs.send(asyncio.run(work())))
    process.start()
    theirs.close()
    try:
        result: T = ours.recv()
    except EOFError:
        raise RuntimeError("a start failed: see above") from None
    finally:
        process.join()
        ours.close()
    return result

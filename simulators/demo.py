"""`python -m simulators demo`: edged told as a story, with everything in it really happening.

Four simulated cameras, a broker and the daemon run as processes of their own; the story only types what an operator
would type, pulls a cable, and reads what comes back. Exit code 0 when every chapter happened, 1 when one did not.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from simulators.judge import check_gapless, read_frames
from simulators.screen import Screen
from simulators.stage import CommandFailed, Stage

CAMERAS = 4
DETECTED_WITHIN_S = 15.0
PATIENCE_S = 120.0  # beyond the time that the demo was given: a busy machine tells the story more slowly
CHAPTERS = (
    "found",
    "recording",
    "sealed",
    "hold",
    "outage",
    "deadlines",
    "closed",
    "release",
    "mqtt",
    "files",
    "frames",
)


class NotHappened(Exception):
    """A chapter's time ran out."""


class Story:
    """The chapters, in order; `done` is what has happened so far."""

    def __init__(self, stage: Stage, screen: Screen, ends_at: float) -> None:
        self.done: list[str] = []
        self._stage = stage
        self._screen = screen
        self._ends_at = ends_at
        self._topics: set[str] = set()
        self._summary: list[str] = []

    async def tell(self) -> None:
        """All chapters. Raises NotHappened or CommandFailed at the first that does not happen."""
        async with self._listening(), self._live_table():
            cameras = await self._found_and_recording()
            await self._sealed()
            hold = await self._hold(cameras[0])
            await self._dark_and_back()
            await self._release(hold)
            await self._mqtt()
            while time.monotonic() < self._ends_at - 4:
                await asyncio.sleep(0.2)
        await self._files()

    def summary(self) -> list[str]:
        """One line a chapter, for the end."""
        missing = [chapter for chapter in CHAPTERS if chapter not in self.done]
        return [
            *self._summary,
            f"chapters that did not happen: {', '.join(missing)}" if missing else "all chapters happened",
        ]

    async def _found_and_recording(self) -> list[str]:
        self._say(f"edged is starting; {CAMERAS} cameras it knows nothing about are on the network.")
        found = await self._until(
            "all cameras are found", lambda: self._cameras(lambda c: c["roster"] == "adopted"), CAMERAS
        )
        self._happened("found", f"found {len(found)} cameras over WS-Discovery and ONVIF; each was adopted")
        recording = await self._until(
            "all cameras are recorded",
            lambda: self._cameras(lambda c: c["state"] == "streaming" and c["committed_age_s"] is not None),
            CAMERAS,
        )
        self._happened("recording", f"recording {len(recording)} cameras, frames are on the disk")
        return sorted(camera["camera"] for camera in recording)

    async def _sealed(self) -> None:
        async def sealed() -> list[dict[str, Any]]:
            told = await self._stage.edged("retention", "--json")
            return [camera for camera in told["cameras"] if camera["segments"]]

        kept = await self._until("a first segment is sealed", sealed, CAMERAS)
        first = kept[0]
        rules = ", ".join(first["rules"])
        self._happened(
            "sealed", f"first segments sealed, hashed and indexed; kept {first['floor_days']} days by {rules}"
        )

    async def _hold(self, camera: str) -> str:
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        hold = await self._stage.edged(
            *("holds", "place", camera, "--from", began, "--case", "demo-case", "--authority", "county police"),
            *("--document", "demo-doc-1", "--by", "first officer"),
        )
        self._happened("hold", f"evidence hold {hold['id']} placed on {camera}; segments so far: {hold['segments']}")
        return str(hold["id"])

    async def _dark_and_back(self) -> None:
        victim = f"cam-{CAMERAS}"
        await self._stage.inflict(victim, "unplug")
        pulled = time.monotonic()
        self._say("somebody pulls the cable of one camera ...")

        async def opened() -> list[dict[str, Any]]:
            told = await self._stage.edged("outages", expect=(0, 1))
            return [outage for outage in told["outages"] if outage["closed"] is None]

        [outage] = await self._until("the outage is opened", opened, 1)
        took = time.monotonic() - pulled
        self._say(f"outage {outage['id']} opened {took:.1f} s after the cable was pulled, dated back to {outage['t0']}")
        if took > DETECTED_WITHIN_S:
            raise NotHappened(f"the outage was opened only after {took:.1f} s (want {DETECTED_WITHIN_S:g} s at most)")
        self._happened("outage", f"outage detected {took:.1f} s after unplugging")
        report = outage["report"]
        self._happened("deadlines", f"report due {report['due']} ({report['basis']})")
        for addressee, person in (("repair-unit", "engineer on duty"), ("superior-department", "officer on duty")):
            outage = await self._stage.edged(
                "outages", "report", outage["id"], "--to", addressee, "--received-by", person
            )
        attendance = outage["attendance"]
        self._say(
            f"both addressees have the report; repair unit due on site {attendance['due']} ({attendance['basis']})"
        )
        await self._stage.inflict(victim, "plug")
        self._say("the cable is back ...")

        async def closed() -> list[dict[str, Any]]:
            told = await self._stage.edged("outages", "list", "--all", expect=(0, 1))
            return [one for one in told["outages"] if one["closed"] is not None]

        [outage] = await self._until("the outage is closed", closed, 1)
        self._happened("closed", f"outage closed by a sustained good stream; feed restored at {outage['restored']}")

    async def _release(self, hold: str) -> None:
        first = await self._stage.edged("holds", "release", hold, "--by", "first officer")
        await self._stage.edged("holds", "release", hold, "--by", "first officer", expect=(4,))
        self._say(f"one person released the hold ({first['state']}); the same person again was refused")
        second = await self._stage.edged("holds", "release", hold, "--by", "second officer")
        self._happened("release", f"hold {second['state']} by two different people")

    async def _mqtt(self) -> None:
        wanted = ("/birth", "/health", "/camera/", "/outage/")

        async def heard() -> list[str]:
            return [part for part in wanted if any(part in topic for topic in self._topics)]

        await self._until("MQTT has told everything", heard, len(wanted))
        page = await self._stage.metrics()
        series = sum(1 for line in page.splitlines() if line and not line.startswith("#"))
        self._say("MQTT said, on these topics:")
        for topic in sorted(self._topics):
            self._say(f"    {topic}")
        self._happened("mqtt", f"{len(self._topics)} MQTT topics heard, {series} Prometheus series scraped")

    async def _files(self) -> None:
        """Stop in order, then let the judge compare the files with what the cameras sent."""
        code = await self._stage.stop_edged()
        if code != 0:
            raise NotHappened(f"edged ended with exit code {code}")
        volume = self._stage.folder / "v1" / "segments"
        files = sorted(volume.glob("*/*/*.mp4"), key=lambda file: (file.parent, file.name[:7], _run_and_seq(file)))
        self._say(f"recordings are below {volume} (the folder goes away when the demo ends); play one with")
        self._say(f"    ffplay {files[0]}")
        self._happened("files", f"{len(files)} segments on disk")
        frames: dict[int, list[Any]] = {}
        for file in files:
            for frame in read_frames(file):
                frames.setdefault(frame.camera, []).append(frame)
        wrong = []
        counts = []
        for number, camera in enumerate(await self._stage.sent(), start=1):
            if number == CAMERAS:
                continue  # the one whose cable was pulled
            sent = sum(session["frames"] for session in camera["sessions"])
            report = check_gapless(frames.get(number, []))
            counts.append(f"{report.frames} of {sent}")
            if not report.ok or report.frames != sent:
                wrong.append(f"{camera['name']}: {report.frames} of {sent} frames; missing {list(report.missing)[:5]}")
        if wrong:
            raise NotHappened("frames recorded differ from frames sent: " + "; ".join(wrong))
        self._happened("frames", f"frames recorded = frames sent for every undisturbed camera ({', '.join(counts)})")

    async def _cameras(self, good: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        told = await self._stage.edged("cameras", expect=(0, 3))
        return [camera for camera in told["cameras"] if good(camera)] if told else []

    async def _until(self, what: str, look: Callable[[], Awaitable[list[Any]]], count: int) -> list[Any]:
        while len(seen := await look()) < count:
            if time.monotonic() > self._ends_at + PATIENCE_S:
                raise NotHappened(f"time is over before {what}: {len(seen)} of {count}")
            await asyncio.sleep(0.2)
        return seen

    def _happened(self, chapter: str, sentence: str) -> None:
        self.done.append(chapter)
        self._summary.append(sentence)
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self._screen.say(sentence)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        async def listen() -> None:
            async with aiomqtt.Client(
                "127.0.0.1", self._stage.broker_port, protocol=aiomqtt.ProtocolVersion.V311
            ) as client:
                await client.subscribe("edged/#", qos=1)
                async for message in client.messages:
                    self._topics.add(str(message.topic))
                    json.loads(bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else "null")

        async with asyncio.TaskGroup() as group:
            listener = group.create_task(listen())
            yield
            listener.cancel()

    @asynccontextmanager
    async def _live_table(self) -> AsyncIterator[None]:
        async def refresh() -> None:
            while True:
                try:
                    cameras = await self._stage.edged("cameras", expect=(0, 3))
                    outages = await self._stage.edged("outages", expect=(0, 1, 3))
                except CommandFailed:
                    cameras, outages = None, None
                if cameras and outages:
                    # Other simulated fleets on this machine answer too; only ours let edged in.
                    adopted = [camera for camera in cameras["cameras"] if camera["roster"] == "adopted"]
                    self._screen.show(adopted, outages["outages"])
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            table = group.create_task(refresh())
            yield
            table.cancel()


def _run_and_seq(file: Path) -> tuple[int, int]:
    _, run, seq = file.stem.split("-")
    return int(run), int(seq)


async def _perform(seconds: float, embedded_broker: bool) -> int:
    began = time.monotonic()
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    loop.add_signal_handler(signal.SIGTERM, me.cancel)
    with tempfile.TemporaryDirectory(prefix="edged-demo-") as folder:
        async with Stage(Path(folder), CAMERAS, embedded_broker=embedded_broker) as stage:
            screen = Screen(sys.stdout, began)
            screen.say(f"broker: {stage.broker_name}; everything stays on loopback and below {folder}")
            story = Story(stage, screen, began + seconds)
            failed = ""
            try:
                await story.tell()
            except* (NotHappened, CommandFailed) as group:
                failed = "; ".join(str(error) for error in _leaves(group))
            screen.close()
            print("\nSummary")
            for line in story.summary():
                print(f"  {line}")
            if failed:
                print(f"\nThe demo did not finish: {failed}", file=sys.stderr)
                print(stage.log.read_text()[-4000:], file=sys.stderr)
                return 1
    return 0


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def main(argv: list[str]) -> int:
    """Perform the demo; see the module's text for the exit codes."""
    parser = argparse.ArgumentParser(prog="simulators demo", description="edged, told as a story.")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long it lasts (default %(default)s, at least 40)"
    )
    parser.add_argument("--embedded-broker", action="store_true", help="even where mosquitto is installed")
    arguments = parser.parse_args(argv)
    if arguments.seconds < 40:
        parser.error("the story takes 40 seconds at least")
    return asyncio.run(_perform(arguments.seconds, arguments.embedded_broker))

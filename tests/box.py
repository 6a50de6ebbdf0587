"""One edged box for tests: its folders, its configuration, its processes and its command line."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from edged.archive.journal import BadLine, decode
from edged.model import Fact, SegmentSealed
from simulators.judge import Frame, read_frames

BASE = """\
[site]
id = "test-site"
jurisdiction = "jilin"
repair_unit = "duty engineer"
superior_department = "security department"

[recorder]
id = "box"
state_dir = "{folder}/state"
runtime_dir = "{folder}/run"
segment = "3s"
fragment = "500ms"
sync = "200ms"

[[volume]]
id = "v1"
path = "{folder}/v1"
reserve = "1MiB"

[outage]
suspect_after = "2s"
outage_after = "4s"
sustained = "3s"

[metrics]
port = 0
"""


class Box:
    """Use as a context manager: every process it started is ended on the way out, by its own id."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.folder = folder
        self.volume = folder / "v1"
        self.state = folder / "state"
        self.run_dir = folder / "run"
        for made in (self.volume, self.state, self.run_dir):
            made.mkdir(parents=True, exist_ok=True)
        self.config = folder / "edged.toml"
        self.config.write_text(BASE.format(folder=folder) + extra)
        self.controller: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)
        for recorder in self.recorder_pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(recorder, signal.SIGKILL)

    def start(self) -> None:
        """Start `edged run`; its log goes to edged.log below the folder."""
        with (self.folder / "edged.log").open("ab") as log:
            self.controller = subprocess.Popen(
                [sys.executable, "-m", "edged", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """End the controller; returns its exit code."""
        if self.controller is None:
            return None
        if self.controller.poll() is None:
            self.controller.send_signal(number)
        code = self.controller.wait(30)
        self.controller = None
        return code

    def recorder_pid(self) -> int | None:
        """The one recorder that runs below this folder."""
        return next(iter(self.recorder_pids().values()), None)

    def recorder_pids(self) -> dict[str, int]:
        """The recorders that run below this folder by their ids, found by their command lines."""
        wanted = str(self.state)
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "recorder" in words and wanted in words:
                found[words[words.index("--id") + 1]] = int(process.name)
        return found

    def log(self) -> str:
        return (self.folder / "edged.log").read_text() if (self.folder / "edged.log").exists() else ""

    def edged(self, *words: str, expect: tuple[int, ...] = (0,)) -> Any:
        """What an operator would type, with --json."""
        done = subprocess.run(
            [sys.executable, "-m", "edged", *words, "--socket", str(self.run_dir / "api.sock"), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in expect, f"{' '.join(words)}: {done.returncode} {done.stderr}\n{self.log()[-3000:]}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def cameras(self) -> list[dict[str, Any]]:
        told = self.edged("cameras", expect=(0, 3))
        return told["cameras"] if told else []

    def recording(self) -> list[str]:
        return [camera["camera"] for camera in self.cameras() if camera.get("recording")]

    def facts(self, volume: Path | None = None) -> list[Fact]:
        """Every whole journal line on the volume; one that a crash tore is none."""
        facts = []
        for file in sorted((volume or self.volume).glob("journal/*/*.ndjson")):
            for line in whole_lines(file):
                with contextlib.suppress(BadLine):
                    facts.append(decode(line))
        return facts

    def sealed(self, volume: Path | None = None) -> list[SegmentSealed]:
        return [fact for fact in self.facts(volume) if isinstance(fact, SegmentSealed)]

    def files(self) -> list[Path]:
        """Sealed segments, in recording order within each camera."""
        return sorted(
            self.volume.glob("segments/*/*/*.mp4"),
            key=lambda file: (file.parent, file.name[:6], tuple(int(part) for part in file.stem.split("-")[1:])),
        )

    def frames(self) -> dict[int, list[Frame]]:
        """Frames by simulated camera, in recording order, read by the judge from the files alone."""
        found: dict[int, list[Frame]] = {}
        for file in self.files():
            for frame in read_frames(file):
                found.setdefault(frame.camera, []).append(frame)
        return found

    def indexed(self) -> set[tuple[str, int, int, int]]:
        """What the index knows, read only once the controller has ended."""
        assert self.controller is None
        connection = sqlite3.connect(self.state / "index.sqlite3")
        rows = connection.execute(
            "SELECT camera.id, start_us, run, seq FROM segment JOIN camera ON camera.no = segment.camera WHERE"
            " segment.state = 0"
        ).fetchall()
        connection.close()
        return set(rows)


def whole_lines(file: Path) -> list[bytes]:
    return [line for line in file.read_bytes().rpartition(b"\n")[0].split(b"\n") if line]


async def until(look: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait for a condition off the event loop; its first true value is returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = await asyncio.to_thread(look)
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.1)

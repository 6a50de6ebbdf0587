"""The demo's stage: a folder that goes away, and the processes on it, each ended by its own id."""

import asyncio
import json
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

CONFIG = """\
[site]
id = "demo-site"
jurisdiction = "jilin"
repair_unit = "duty engineer"
superior_department = "security department"

[recorder]
id = "demo-nvr"
state_dir = "{folder}/state"
runtime_dir = "{folder}/run"
segment = "5s"
fragment = "1s"

[[volume]]
id = "v1"
path = "{folder}/v1"

[discovery]
interfaces = ["lo"]
every = "3s"
adopt = "auto"
login = {{ username = "demo", password = "demo-camera" }}

[outage]
suspect_after = "3s"
outage_after = "5s"
sustained = "4s"

[mqtt]
host = "127.0.0.1"
port = {broker_port}
health_every = "2s"

[metrics]
port = 0
"""


class CommandFailed(Exception):
    """A command of edged ended otherwise than expected."""


class Stage:
    """Four cameras, a broker and edged, on loopback, below one temporary folder."""

    def __init__(self, folder: Path, cameras: int, *, embedded_broker: bool = False) -> None:
        self.folder = folder
        self.config = folder / "edged.toml"
        self.log = folder / "edged.log"
        self.broker_port = _free_port()
        # Debian puts it where only root's PATH looks.
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        self._mosquitto = None if embedded_broker else found
        self.broker_name = "mosquitto" if self._mosquitto else "embedded"
        self._cameras = cameras
        self._control = ""
        self._edged: Process | None = None
        self._house = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in ("v1", "state", "run"):
            (self.folder / name).mkdir()
        self.config.write_text(CONFIG.format(folder=self.folder, broker_port=self.broker_port))
        try:
            await self._start_broker()
            await self._start_fleet()
            await self._start_edged()
        except BaseException:
            await self._house.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._house.aclose()

    async def edged(self, *words: str, expect: tuple[int, ...] = (0,)) -> Any:
        """What an operator would type, with --json; the answer, or None where nothing was printed.

        Raises CommandFailed where the exit code is none of `expect`.
        """
        socket_path = str(self.folder / "run" / "api.sock")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edged", *words, "--socket", socket_path, "--json", stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        if process.returncode not in expect:
            raise CommandFailed(f"`edged {' '.join(words)}` gave {process.returncode}: {err.decode().strip()}")
        return json.loads(out) if out.strip() else None

    async def inflict(self, camera: str, fault: str) -> None:
        """Do something to a simulated camera."""
        await self._simulators("fault", "--control", self._control, camera, fault)

    async def sent(self) -> list[dict[str, Any]]:
        """What each simulated camera has sent."""
        told: list[dict[str, Any]] = (await self._simulators("stats", "--control", self._control))["cameras"]
        return told

    async def stop_edged(self) -> int:
        """Ask the daemon to end in order, as systemd does; returns its exit code."""
        assert self._edged is not None
        if self._edged.returncode is None:
            self._edged.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._edged.wait(), 20)

    async def metrics(self) -> str:
        """One scrape of the Prometheus page."""
        port = int((self.folder / "run" / "metrics.port").read_text())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        return page.partition("\r\n\r\n")[2]

    async def _simulators(self, *words: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators", *words, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        if process.returncode:
            raise CommandFailed(f"simulators {' '.join(words)}: {err.decode().strip()}")
        return json.loads(out)

    async def _start_broker(self) -> None:
        if self._mosquitto:
            settings = self.folder / "mosquitto.conf"
            settings.write_text(f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
            await self._start(self._mosquitto, "-c", str(settings))
            await self._until_listening()
        else:
            broker = await self._start(
                sys.executable, "-m", "simulators", "broker", "--port", str(self.broker_port), ready=True
            )
            await _ready_line(broker)

    async def _start_fleet(self) -> None:
        fleet = await self._start(
            sys.executable,
            *("-m", "simulators", "fleet", "--cameras", str(self._cameras), "--gop", "25"),
            *("--username", "demo", "--password", "demo-camera"),
            ready=True,
        )
        self._control = (await _ready_line(fleet))["control"]

    async def _start_edged(self) -> None:
        with self.log.open("wb") as log:
            self._edged = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "edged", "run", "--config", str(self.config)),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._house.push_async_callback(_end, self._edged)

    async def _start(self, *command: str, ready: bool = False) -> Process:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE if ready else DEVNULL, stderr=None if ready else DEVNULL
        )
        self._house.push_async_callback(_end, process)
        return process

    async def _until_listening(self) -> None:
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
        raise CommandFailed("the broker does not listen")


async def _ready_line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    if not line:
        raise CommandFailed("a simulator ended before it was ready")
    told: dict[str, Any] = json.loads(line)
    return told


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

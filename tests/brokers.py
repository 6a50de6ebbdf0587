"""Real brokers for tests, each a process of its own on loopback: mosquitto, and amqtt where only 3.1.1 is spoken.

Each is stopped by its own process handle; a broker that is not installed makes its tests skip, with the reason.
"""

import asyncio
import contextlib
import getpass
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiomqtt
import pytest

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin")
NO_MOSQUITTO = "mosquitto is not installed (Debian: apt install mosquitto)"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, or fail saying `what` did not happen."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


async def until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """`wait_until` that lets the event loop run."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.02)


class BrokerProcess:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start and wait until the port answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self._answers, f"the broker listens; its log: {self.folder / 'broker.log'}", 15)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it in order; by force where it hangs. Harmless when stopped already."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


AnyBroker = TypeVar("AnyBroker", bound=BrokerProcess)


class Mosquitto(BrokerProcess):
    """A mosquitto with its own configuration and, where asked for, its own persistence."""

    def __init__(self, folder: Path, *, persistence: bool = True, lines: tuple[str, ...] = ()) -> None:
        super().__init__(folder)
        self.persistence = persistence
        self.lines = lines

    def command(self) -> list[str]:
        """Write the configuration and say how it is started."""
        config = self.folder / "mosquitto.conf"
        config.write_text(
            "\n".join(
                (
                    f"listener {self.port} 127.0.0.1",
                    *(
                        ()
                        if any(line.startswith("allow_anonymous") for line in self.lines)
                        else ("allow_anonymous true",)
                    ),
                    f"user {getpass.getuser()}",  # root would become another user, who cannot read these files
                    f"persistence {'true' if self.persistence else 'false'}",
                    f"persistence_location {self.folder}/",
                    # Not 0 for "no limit": with that, 2.0.11 cuts off whoever publishes what the rules deny.
                    "max_queued_messages 100000",
                    *self.lines,
                    "",
                )
            )
        )
        assert MOSQUITTO is not None
        return [MOSQUITTO, "-c", str(config)]


class Amqtt(BrokerProcess):
    """The embedded broker of the demo, in a process of its own; speaks 3.1.1 only."""

    def command(self) -> list[str]:
        """Run it from this interpreter."""
        return [sys.executable, "-m", "simulators", "broker", "--port", str(self.port)]


@contextlib.contextmanager
def running_mosquitto(folder: Path, *, persistence: bool = True, lines: tuple[str, ...] = ()) -> Iterator[Mosquitto]:
    """A running mosquitto with its files in `folder`; without the program the test is skipped."""
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    folder.mkdir(exist_ok=True)
    yield from _running(Mosquitto(folder, persistence=persistence, lines=lines))


@contextlib.contextmanager
def running_amqtt(folder: Path) -> Iterator[Amqtt]:
    """A running amqtt; without the package the test is skipped."""
    pytest.importorskip("amqtt", reason="amqtt is not installed (pip install edged[demo])")
    folder.mkdir(exist_ok=True)
    yield from _running(Amqtt(folder))


def _running(broker: AnyBroker) -> Iterator[AnyBroker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@dataclass
class Ear:
    """A subscriber: everything it heard, in order."""

    heard: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)  # topic, payload, retained

    def on(self, ending: str) -> list[dict[str, Any]]:
        """Payloads of topics that end with or contain `ending`."""
        return [payload for topic, payload, _ in self.heard if f"/{ending}" in topic]

    def once_by_id(self, ending: str) -> list[dict[str, Any]]:
        """As a subscriber should take them: each id the first time."""
        seen: dict[str, dict[str, Any]] = {}
        for payload in self.on(ending):
            seen.setdefault(payload["id"], payload)
        return list(seen.values())


class _Client(aiomqtt.Client):
    """Fetches the error of a connection that ends while being made, which aiomqtt leaves for asyncio to mourn."""

    def _on_disconnect(self, *args: Any, **kwargs: Any) -> None:
        super()._on_disconnect(*args, **kwargs)
        if self._disconnected.done():
            self._disconnected.exception()


@contextlib.asynccontextmanager
async def listening(port: int, *, client_id: str = "ear", ear: Ear | None = None) -> AsyncIterator[Ear]:
    """A subscriber to everything of edged, with a persistent session, that comes back whenever the broker does."""
    ear = ear or Ear()
    ready = asyncio.Event()

    async def listen() -> None:
        while True:
            try:
                async with _Client(
                    "127.0.0.1", port, identifier=client_id, clean_session=False, keepalive=5, timeout=2
                ) as client:
                    await client.subscribe("edged/#", qos=1)
                    ready.set()
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        ear.heard.append((str(message.topic), json.loads(message.payload), message.retain))
            except aiomqtt.MqttError:
                await asyncio.sleep(0.05)

    task = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(10):
            await ready.wait()
        yield ear
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

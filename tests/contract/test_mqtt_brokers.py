"""What every broker must make of the reporter: one suite over mosquitto and the demo's embedded broker."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from edged.model import Cause
from edged.report.health import camera_document
from tests.brokers import BrokerProcess, listening, running_amqtt, running_mosquitto, until
from tests.reporting import BASE, a_camera, a_snapshot, reporting


@pytest.fixture(params=[running_mosquitto, running_amqtt], ids=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    running: Callable[[Path], AbstractContextManager[BrokerProcess]] = request.param
    with running(tmp_path / "broker") as process:
        yield process


def an_outage(number: int, event: str = "opened") -> dict[str, Any]:
    return {
        "outage": f"out-{number}",
        "camera": f"cam-{number}",
        "event": event,
        "state": "outage",
        "cause": "stalled",
        "t0_us": 1_790_000_000_000_000,
        "report_due_us": 1_790_003_600_000_000,
    }


async def test_a_birth_names_every_camera_and_comes_before_anything_else(broker: BrokerProcess, tmp_path: Path) -> None:
    async with (
        listening(broker.port) as ear,
        reporting(broker.port, tmp_path / "index.db", snapshot=lambda: a_snapshot(3)) as running,
    ):
        await running.say("outage/out-1", an_outage(1))
        await until(lambda: bool(ear.on("outage/")), "the outage is heard")
        topic, birth, _ = ear.heard[0]
        assert topic == f"{BASE}/birth"
        assert birth["v"] == 1
        assert birth["bd_seq"] == 1
        assert birth["seq"] == 1
        assert birth["cameras"] == ["cam-1", "cam-2", "cam-3"]
        assert birth["version"] == "0.1.0"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", birth["at"])
        [outage] = ear.on("outage/out-1")
        assert outage["event"] == "opened"
        assert outage["seq"] == 2
        assert outage["boot_id"] == birth["boot_id"]


async def test_a_camera_adopted_later_is_announced_by_another_birth(broker: BrokerProcess, tmp_path: Path) -> None:
    adopted = [1]
    async with (
        listening(broker.port) as ear,
        reporting(broker.port, tmp_path / "index.db", snapshot=lambda: a_snapshot(adopted[-1])) as running,
    ):
        await until(lambda: len(ear.on("birth")) == 1, "the birth")
        adopted.append(2)
        await running.say("camera/cam-2", camera_document(a_camera(2)), latest=True)
        await running.say("camera/cam-1", camera_document(a_camera(1)), latest=True)
        await until(lambda: len(ear.on("camera/")) == 2, "both states")
        first, again = ear.on("birth")
        assert again["cameras"] == ["cam-1", "cam-2"]
        assert again["bd_seq"] == first["bd_seq"]
        assert again["id"] != first["id"]


async def test_states_are_retained_for_who_comes_late(broker: BrokerProcess, tmp_path: Path) -> None:
    async with reporting(broker.port, tmp_path / "index.db") as running:
        for number in (1, 2):
            await running.say(f"camera/cam-{number}", camera_document(a_camera(number)), latest=True)
        await until(lambda: running.reporter.tally.published >= 3, "birth and two states acknowledged")
        async with listening(broker.port, client_id="late") as late:
            await until(lambda: len(late.heard) >= 3, "three retained messages")
            assert {(topic, retained) for topic, _, retained in late.heard} == {
                (f"{BASE}/birth", True),
                (f"{BASE}/camera/cam-1", True),
                (f"{BASE}/camera/cam-2", True),
            }


async def test_only_the_newest_state_and_every_event_is_sent(broker: BrokerProcess, tmp_path: Path) -> None:
    broker.stop()
    async with reporting(broker.port, tmp_path / "index.db") as running:
        for recording in (False, True, False):
            document = camera_document(a_camera(1, recording=recording))
            await running.say("camera/cam-1", document, latest=True)
        for event in ("opened", "reported", "closed"):
            await running.say("outage/out-1", an_outage(1, event))
        await running.until_waiting(4)
        broker.start()
        async with listening(broker.port) as ear:
            await until(lambda: running.reporter.tally.published >= 5, "all acknowledged", 15)
            await until(lambda: len(ear.on("outage/")) >= 1, "the outage is heard")
            await running.until_waiting(0)
            assert [state["recording"] for state in ear.on("camera/cam-1")] == [False]
            assert ear.on("outage/out-1")[-1]["event"] == "closed"


async def test_an_orderly_stop_says_so_before_it_leaves(broker: BrokerProcess, tmp_path: Path) -> None:
    async with listening(broker.port) as ear, reporting(broker.port, tmp_path / "index.db") as running:
        await until(lambda: bool(ear.on("birth")), "the birth")
        await running.say("outage/out-1", an_outage(1))
        running.reporter.stop()
        await asyncio.wait_for(running.task, 10)
        await until(lambda: bool(ear.on("death")), "the death")
        await running.say("outage/out-2", an_outage(2))  # nobody is there to send it: it keeps
        [death] = ear.on("death")
        assert death["reason"] == "stopped"
        assert death["bd_seq"] == ear.on("birth")[0]["bd_seq"]
        assert death["seq"] == 3
        assert [topic.rpartition("/")[2] for topic, _, _ in ear.heard] == ["birth", "out-1", "death"]
        await running.until_waiting(1)


async def test_killed_the_will_speaks_with_the_number_of_its_birth(broker: BrokerProcess, tmp_path: Path) -> None:
    async with listening(broker.port) as ear:
        for expected in (1, 2):
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.reporting", str(broker.port), str(tmp_path / "index.db"), "2"]
            )
            try:
                await until(lambda count=expected: len(ear.on("birth")) == count, "the birth", 15)  # type: ignore[misc]
                child.send_signal(signal.SIGKILL)
                await until(lambda count=expected: len(ear.on("death")) == count, "the will", 15)  # type: ignore[misc]
            finally:
                child.kill()
                child.wait()
            death = ear.on("death")[-1]
            assert death["reason"] == "lost"
            assert death["seq"] == 0
        births, deaths = ear.on("birth"), ear.on("death")
        assert [m["bd_seq"] for m in births] == [m["bd_seq"] for m in deaths]
        assert births[1]["bd_seq"] > births[0]["bd_seq"]
        assert len({m["id"] for m in births + deaths}) == 4


async def test_i9_a_whole_session_names_no_address_model_or_credential(broker: BrokerProcess, tmp_path: Path) -> None:
    secrets = {
        "address": "192.0.2.77",
        "url": "rtsp://192.0.2.77/stream",
        "mac": "02:00:5e:10:00:01",
        "model": "DomeMaster-9000",
        "name": "north gate of somewhere",
        "password": "hunter2",
    }
    async with listening(broker.port) as ear, reporting(broker.port, tmp_path / "index.db") as running:
        # Even somebody who puts them in, under names of their own or of ours, does not get them out.
        await running.say("outage/out-1", an_outage(1) | secrets | {"camera": "192.0.2.77"})
        await running.say("camera/192.0.2.77", {"camera": "cam-1"}, latest=True)
        await running.say("location/north-gate", {"camera": "cam-1"})
        await running.say("camera/cam-1", camera_document(a_camera(1, cause=Cause.STALLED)) | secrets, latest=True)
        await until(lambda: bool(ear.on("camera/")), "the state is heard")
        running.reporter.stop()
        await asyncio.wait_for(running.task, 10)
        await until(lambda: bool(ear.on("death")), "the death")
        everything = "\n".join(f"{topic} {payload}" for topic, payload, _ in ear.heard)
        assert len(ear.heard) == 4
        for secret in secrets.values():
            assert secret not in everything
        assert not re.search(r"\d+\.\d+\.\d+\.\d+|(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|://", everything)
        assert ear.on("camera/cam-1")[0]["cause"] == "stalled"
        assert "location" not in everything
        await running.until_waiting(0)

"""The broker goes away in the middle of an outage and comes back: in the end everything was heard, each once by id."""

import signal
from pathlib import Path
from typing import Any

import pytest

from edged.archive import outbox
from edged.report.health import camera_document
from tests.brokers import listening, running_mosquitto, until
from tests.reporting import BASE, a_camera, reporting


def step(number: int, event: str, state: str) -> dict[str, Any]:
    return {
        "outage": f"out-{number}",
        "camera": f"cam-{number}",
        "event": event,
        "state": state,
        "cause": "stalled",
        "t0_us": 1_790_000_000_000_000,
    }


async def test_a_broker_restarted_during_an_outage_holds_every_message_once_and_in_order(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with (
            listening(broker.port) as ear,
            reporting(broker.port, tmp_path / "index.db") as running,
        ):
            await until(lambda: bool(ear.on("birth")), "the birth")
            await running.say("outage/out-1", step(1, "opened", "outage"))
            await until(lambda: len(ear.on("outage/")) == 1, "the opening is heard")
            await running.until_waiting(0)

            broker.stop()
            await running.say("outage/out-1", step(1, "reported", "reported"))
            await running.say("outage/out-2", step(2, "opened", "outage"))
            await until(lambda: not running.reporter.tally.connected, "the loss is noticed")
            await running.say("outage/out-1", step(1, "attended", "attended"))
            await running.until_waiting(3)

            broker.start()
            await until(lambda: len(ear.once_by_id("outage/")) == 4, "what waited is heard", 15)
            await running.say("outage/out-1", step(1, "closed", "closed"))
            await until(lambda: len(ear.once_by_id("outage/")) == 5, "the closing is heard")
            await running.until_waiting(0)

            told = ear.once_by_id("outage/")
            assert [(m["outage"], m["event"]) for m in told] == [
                ("out-1", "opened"),
                ("out-1", "reported"),
                ("out-2", "opened"),
                ("out-1", "attended"),
                ("out-1", "closed"),
            ]
            assert [m.get("historical", False) for m in told] == [False, True, True, True, False]
            assert [m["bd_seq"] for m in ear.once_by_id("birth")] == [1, 2]

        async with listening(broker.port, client_id="late") as late:
            await until(lambda: len(late.on("outage/")) == 2, "the last word on each outage is retained")
            assert {m["outage"]: m["event"] for m in late.on("outage/")} == {"out-1": "closed", "out-2": "opened"}


async def test_a_broker_that_forgot_everything_is_told_everything_again(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker", persistence=False) as broker:
        async with reporting(broker.port, tmp_path / "index.db") as running:
            await running.say("camera/cam-1", camera_document(a_camera(1)), latest=True)
            await running.say("outage/out-1", step(1, "opened", "outage"))
            async with listening(broker.port) as before:
                await until(lambda: len(before.heard) >= 3, "birth, state and outage are retained")
            await running.until_waiting(0)
            broker.stop()
            await until(lambda: not running.reporter.tally.connected, "the loss is noticed")
            broker.start()
            async with listening(broker.port, client_id="late") as late:
                await until(lambda: bool(late.on("camera/")) and bool(late.on("outage/")), "both are there again", 15)
            assert late.on("camera/")[0]["id"] == before.on("camera/")[0]["id"]
            assert late.on("outage/")[0]["id"] == before.on("outage/")[0]["id"]
            assert late.on("birth")[0]["bd_seq"] > before.on("birth")[0]["bd_seq"]


async def test_a_crash_between_acknowledgement_and_removal_repeats_the_same_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with listening(broker.port) as ear:
            async with reporting(broker.port, tmp_path / "index.db") as running:
                with monkeypatch.context() as power_cut:
                    power_cut.setattr(outbox, "acknowledged", lambda connection, seqs: None)
                    await running.say("outage/out-1", step(1, "opened", "outage"))
                    await until(lambda: len(ear.on("outage/")) == 1, "heard for the first time")
                    await running.until_waiting(1)
            async with reporting(broker.port, tmp_path / "index.db") as running:
                await until(lambda: len(ear.on("outage/")) == 2, "heard again")
                await running.until_waiting(0)
            first, again = ear.on("outage/")
            assert first["id"] == again["id"]
            assert (first["bd_seq"], first["seq"]) < (again["bd_seq"], again["seq"])
            assert len(ear.once_by_id("outage/")) == 1


async def test_killed_brokers_again_and_again_lose_nothing(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker", lines=("autosave_interval 1", "autosave_on_changes true")) as broker:
        async with reporting(broker.port, tmp_path / "index.db") as running:
            async with listening(broker.port) as ear:
                for turn in range(4):
                    for number in range(25):
                        await running.say(
                            f"outage/out-{turn}-{number}",
                            step(1, "opened", "outage") | {"outage": f"out-{turn}-{number}"},
                        )
                    broker.signal(signal.SIGKILL)
                    broker.stop()
                    broker.start()
                await until(lambda: running.reporter.tally.connected, "connected again")
                wanted = [f"out-{turn}-{number}" for turn in range(4) for number in range(25)]
                await running.say("outage/last", step(1, "closed", "closed") | {"outage": "last"})
                await until(lambda: any(m["outage"] == "last" for m in ear.on("outage/")), "the last is heard", 20)
                await running.until_waiting(0)
            async with listening(broker.port, client_id="late") as late:
                await until(lambda: {m["outage"] for m in late.on("outage/")} >= {*wanted, "last"}, "all are retained")
            assert all(topic.startswith(BASE) for topic, _, _ in late.heard)

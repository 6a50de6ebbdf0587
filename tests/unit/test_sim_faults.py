"""Every fault of a simulated camera, each seen from a viewer's side, and the control channel that inflicts them."""

import asyncio
import json
import os
import signal
import socket
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulators.camera import Camera, FaultError
from simulators.control import ControlError, ask, control_channel
from simulators.fleet import Fleet
from simulators.options import FleetOptions, OptionError
from tests.sim_viewer import SMALL, Viewer, fresh_subnet, wait_until


@pytest.fixture
async def fleet() -> Any:
    async with Fleet(cameras=2, subnet=fresh_subnet(), multicast=False, seed=7, **SMALL) as running:
        yield running


async def seen_counters(camera: Camera) -> list[int]:
    """The first counters a fresh viewer gets."""
    fresh = await Viewer(camera.rtsp_url).play()
    marks = await fresh.see(3)
    await fresh.close()
    return [mark.counter for mark in marks]


async def onvif_status(camera: Camera) -> int:
    envelope = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
        '<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/></s:Body></s:Envelope>'
    )
    assert camera.onvif_url is not None
    async with aiohttp.ClientSession() as session, session.post(camera.onvif_url, data=envelope) as reply:
        await reply.read()
        return reply.status


async def test_unplug_resets_and_closes_and_plug_brings_it_back(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    before = camera.card()
    viewer = await Viewer(camera.rtsp_url).play()
    seen = await viewer.see(5)
    await camera.unplug()
    await camera.unplug()
    assert isinstance(await viewer.see_end(), ConnectionResetError)
    assert camera.stats()["faults"] == ["unplugged"]
    with pytest.raises(ConnectionRefusedError):
        await Viewer(camera.rtsp_url).connect()
    with pytest.raises(aiohttp.ClientConnectionError):
        await onvif_status(camera)
    assert await onvif_status(fleet.cameras[1]) == 200
    captured = camera.stats()["captured"]
    await wait_until(lambda: camera.stats()["captured"] > captured + 5, "the unplugged camera films on")
    await camera.plug()
    await camera.plug()
    assert camera.card() == before
    assert camera.stats()["faults"] == []
    assert await onvif_status(camera) == 200
    again = await seen_counters(camera)
    assert again[0] > seen[-1].counter + 5

    def endings() -> list[str]:
        return [session["ended_by"] for session in camera.stats()["sessions"]]

    await wait_until(lambda: endings() == ["unplugged", "client closed"], "both sessions are closed")
    await viewer.close()


async def test_stall_keeps_the_connection_and_stops_the_frames(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    viewer = await Viewer(camera.rtsp_url).play()
    await viewer.see(5)
    await camera.stall()
    assert (await viewer.ask("GET_PARAMETER")).status == 200
    last = camera.stats()["sessions"][0]["last"]
    captured = camera.stats()["captured"]
    await wait_until(lambda: camera.stats()["captured"] > captured + 10, "the camera films on")
    assert (await viewer.ask("GET_PARAMETER")).status == 200
    assert camera.stats()["sessions"][0]["last"] == last
    assert viewer.marks()[-1].counter == last
    assert camera.stats()["faults"] == ["stalled"]
    assert camera.stats()["sessions_open"] == 1
    await camera.resume()
    counters = [mark.counter for mark in await viewer.see(4)]
    after = counters[counters.index(last) + 1 :]
    assert after[0] > last + 5
    assert after[0] % SMALL["gop"] == 0
    assert after == list(range(after[0], after[0] + len(after)))
    assert all(b.sequence == (a.sequence + 1) & 0xFFFF for a, b in pairwise(viewer.packets))
    await viewer.close()


async def test_refuse_answers_503_everywhere_until_accept(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    viewer = await Viewer(camera.rtsp_url).play()
    await camera.refuse()
    assert isinstance(await viewer.see_end(), asyncio.IncompleteReadError)
    fresh = await Viewer(camera.rtsp_url).connect()
    assert (await fresh.ask("OPTIONS")).status == 503
    assert (await fresh.ask("DESCRIBE")).status == 503
    assert await onvif_status(camera) == 503
    assert camera.stats()["faults"] == ["refusing"]
    await camera.accept()
    assert (await fresh.ask("OPTIONS")).status == 200
    assert await onvif_status(camera) == 200
    await viewer.close()
    await fresh.close()


async def test_a_changed_password_ends_old_sessions_and_asks_for_the_new_one(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    viewer = await Viewer(camera.rtsp_url).play()
    await camera.change_password("another")
    await viewer.see_end()
    old, new = await Viewer(camera.rtsp_url).connect(), await Viewer(camera.rtsp_url, password="another").connect()
    for one in (old, new):
        await one.ask("DESCRIBE")
    assert (await old.ask("DESCRIBE")).status == 401
    assert (await new.ask("DESCRIBE")).status == 200
    assert camera.stats()["faults"] == ["password changed"]
    await camera.change_password("secret")
    assert camera.stats()["faults"] == []
    assert await seen_counters(camera)
    for one in (viewer, old, new):
        await one.close()


async def test_move_changes_the_address_and_nothing_else(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    before, address = camera.card(), camera.address
    viewer = await Viewer(camera.rtsp_url).play()
    await camera.move()
    assert isinstance(await viewer.see_end(), ConnectionResetError)
    after = camera.card()
    assert camera.address != address
    assert (after["serial"], after["endpoint_reference"]) == (before["serial"], before["endpoint_reference"])
    assert after["rtsp"] == before["rtsp"].replace(address, camera.address)
    with pytest.raises(ConnectionRefusedError):
        await Viewer(before["rtsp"]).connect()
    assert await seen_counters(camera)
    assert await onvif_status(camera) == 200
    await camera.move(address)
    assert camera.card() == before
    for nowhere in ("8.8.8.8", "not-an-address", fleet.cameras[1].address):
        with pytest.raises(FaultError, match=nowhere):
            await camera.move(nowhere)
    assert camera.card() == before
    await viewer.close()


async def test_dropped_packets_leave_holes_a_receiver_can_count(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    viewer = await Viewer(camera.rtsp_url).play()
    await viewer.see(1)
    await camera.drop(30)
    assert camera.stats()["faults"] == ["dropping 30 %"]
    await viewer.see(10)
    await camera.drop(0)
    await viewer.see(5)
    missing = sum((b.sequence - a.sequence - 1) & 0xFFFF for a, b in pairwise(viewer.packets))
    assert missing == camera.stats()["sessions"][0]["dropped_packets"] > 0
    await viewer.close()


async def test_drops_are_the_same_for_the_same_seed() -> None:
    losses: list[list[list[int]]] = []
    for _ in range(2):
        async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, seed=11, auth="none", **SMALL) as fleet:
            (camera,) = fleet.cameras
            for _ in range(len(losses)):  # what viewers ask must not matter
                await seen_counters(camera)
            await camera.drop(40)
            losses.append([sorted(camera.feed.lose(10)) for _ in range(5)])
    assert losses[0] == losses[1]
    assert any(losses[0])


@pytest.mark.parametrize("seconds", [3600.0, -7.5])
async def test_jump_moves_the_timestamps_and_not_the_frames(fleet: Fleet, seconds: float) -> None:
    camera = fleet.cameras[0]
    viewer = await Viewer(camera.rtsp_url).play()
    await viewer.see(3)
    await camera.jump(seconds)
    marks = await viewer.see(4)
    assert [m.counter for m in marks] == list(range(marks[0].counter, marks[0].counter + len(marks)))
    times = [packet.timestamp for packet in viewer.packets if packet.mark()]
    steps = {(b - a) & 0xFFFFFFFF for a, b in pairwise(times)}
    assert steps == {3600, (3600 + int(seconds * 90_000)) & 0xFFFFFFFF}
    assert camera.stats()["faults"] == [f"jumped {seconds:g} s"]
    await viewer.close()


BAD_ORDERS = [
    (b"hello", "not JSON"),
    (b"[1]", "want a JSON object"),
    (b'{"do": "dance"}', "no command is called 'dance'"),
    (b'{"do": "fault"}', "needs the texts"),
    (b'{"do": "fault", "camera": "cam-3", "fault": "stall"}', "there are cam-1 to cam-2"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "explode"}', "there are unplug, plug, stall"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "stall", "value": "5"}', "takes no value"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "drop"}', "drop needs a percentage"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "drop", "value": "lots"}', "'lots' is not a number"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "drop", "value": "101"}', "want 0 to 100"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "drop", "value": "-1"}', "want 0 to 100"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "drop", "value": "nan"}', "not a number"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "jump", "value": "0"}', "not 0"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "password", "value": ""}', "empty"),
    (b'{"do": "fault", "camera": "cam-1", "fault": "move", "value": "1.1.1.1"}', "not an IPv4 address of this machine"),
]


async def test_bad_orders_get_a_sentence_and_change_nothing(fleet: Fleet, tmp_path: Path) -> None:
    async with control_channel(fleet, str(tmp_path / "control")) as where:
        reader, writer = await asyncio.open_unix_connection(where)
        for order, sentence in BAD_ORDERS:
            writer.write(order + b"\n")
            answer = json.loads(await reader.readline())
            assert list(answer) == ["error"], order
            assert sentence in answer["error"]
        writer.write(b'{"do": "stats"}\n')
        stats = json.loads(await reader.readline())
        assert [camera["faults"] for camera in stats["cameras"]] == [[], []]
        writer.close()
        await writer.wait_closed()
    with pytest.raises(ControlError, match="no fleet answers"):
        await asyncio.to_thread(ask, where, {"do": "stats"})


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"cameras": 0}, "cameras = 0"),
        ({"bitrate": "much"}, "bitrate = much"),
        ({"size": "big"}, "size = big"),
        ({"subnet": "127.300.1"}, "subnet = 127.300.1"),
        ({"auth": "ntlm"}, "auth = ntlm"),
        ({"onvif_auth": "none"}, "onvif-auth = none"),
        ({"session_timeout": 0.1}, "session-timeout = 0.1"),
        ({"nonce_lifetime": 0}, "nonce-lifetime = 0"),
    ],
)
def test_impossible_fleets_are_refused_by_name(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        FleetOptions(**asked)


async def run(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_fleet_as_a_process() -> None:
    subnet = fresh_subnet()
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    fleet = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", "fleet", "--cameras", "2", "--subnet", subnet, "--no-multicast", *small),
        stdout=asyncio.subprocess.PIPE,
    )
    assert fleet.stdout is not None
    async with asyncio.timeout(15):
        ready = json.loads(await fleet.stdout.readline())
        control = ready["control"]
        assert ready["ready"] is True
        assert [camera["name"] for camera in ready["cameras"]] == ["cam-1", "cam-2"]
        assert ready["cameras"][1]["rtsp"].startswith(f"rtsp://{subnet}.2:")
        (code, out, _), (bad_code, _, sentence), (no_code, _, help_text) = await asyncio.gather(
            run("fault", "--control", control, "cam-2", "jump", "-3"),
            run("fault", "--control", control, "cam-7", "unplug"),
            run("fly"),
        )
        assert (code, json.loads(out)["faults"]) == (0, ["jumped -3 s"])
        assert (bad_code, no_code) == (2, 2)
        assert "no camera is called 'cam-7'" in sentence
        assert "no command is called 'fly'" in help_text
        stats = await asyncio.to_thread(ask, control, {"do": "stats"})
        assert stats["cameras"][1]["faults"] == ["jumped -3 s"]
        fleet.send_signal(signal.SIGTERM)
        assert await fleet.wait() == 0


async def test_a_fleet_that_cannot_be_says_why(tmp_path: Path) -> None:
    file = tmp_path / "not-a-socket"
    file.write_text("keep me")
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    subnet = fresh_subnet()
    results = await asyncio.gather(
        run("fleet", "--subnet", "203.0.113", *small),
        run("fleet", "--subnet", subnet, "--interface", "nic-none", *small),
        run("fleet", "--subnet", fresh_subnet(), "--control", str(file), *small),
        run("fleet", "--subnet", fresh_subnet(), "--control", "nowhere", *small),
        run("fleet", "--size", "odd"),
    )
    said = ("cannot listen at 203.0.113.1", "'nic-none'", "not-a-socket", "control = nowhere", "size = odd")
    for (code, out, sentence), part in zip(results, said, strict=True):
        assert (code, out) == (2, ""), sentence
        assert part in sentence
        assert "Traceback" not in sentence
    assert file.read_text() == "keep me"


async def test_a_taken_port_gives_another_one() -> None:
    subnet = fresh_subnet()
    with socket.socket() as taken:
        taken.bind((f"{subnet}.1", 10554))
        taken.listen()
        async with Fleet(cameras=1, subnet=subnet, multicast=False, **SMALL) as fleet:
            assert ":10554/" not in fleet.cameras[0].rtsp_url
            assert await seen_counters(fleet.cameras[0])


async def test_two_fleets_share_the_same_addresses() -> None:
    subnet = fresh_subnet()
    async with Fleet(cameras=2, subnet=subnet, **SMALL) as one, Fleet(cameras=2, subnet=subnet, **SMALL) as two:
        urls = [camera.rtsp_url for fleet in (one, two) for camera in fleet.cameras]
        serials = {camera.identity.serial for fleet in (one, two) for camera in fleet.cameras}
        assert len(set(urls)) == len(serials) == 4
        await one.cameras[0].unplug()
        assert await seen_counters(two.cameras[0])
        assert await onvif_status(two.cameras[0]) == 200


async def test_nothing_is_left_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with Fleet(cameras=3, subnet=fresh_subnet(), **SMALL) as fleet:
        viewer = await Viewer(fleet.cameras[0].rtsp_url).play()
        await fleet.cameras[1].unplug()
    await viewer.close()
    await wait_until(lambda: set(os.listdir("/proc/self/fd")) <= before, "every socket is closed")

"""Loss on the way: what a receiver counts is what the camera says it did."""

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from simulators.clip import make_clip
from simulators.control import inflict
from simulators.feed import Feed
from simulators.film import ClipSpec
from simulators.fleet import Fleet
from simulators.line import Line, TrackRecord
from simulators.mischief import FaultError, Mischief
from simulators.packets import Burst, frame_packets, number_packets
from tests.sim_viewer import SMALL, Viewer, fresh_subnet, wait_until


def count(sequences: list[int]) -> dict[str, int]:
    """What a receiver makes of sequence numbers in the order they came."""
    base = sequences[0] - 1000
    seen: set[int] = set()
    highest, found = -1, {"dropped": 0, "reordered": 0, "duplicated": 0}
    for sequence in ((one - base) & 0xFFFF for one in sequences):
        if sequence in seen:
            found["duplicated"] += 1
        elif sequence < highest:
            found["reordered"] += 1
        seen.add(sequence)
        highest = max(highest, sequence)
    found["dropped"] = max(seen) - min(seen) + 1 - len(seen)
    return found


def make_line(seed: int, **shares: float) -> Line:
    feed = Feed(make_clip(ClipSpec(160, 90, 25, 5, 100_000)), 1, 0, random.Random(seed))
    feed.drop_share = shares.pop("drop", 0.0)
    mischief = Mischief(random.Random(seed + 1))
    mischief.shares |= shares
    return Line(feed, mischief, TrackRecord(), interleaved=True)


def carry(line: Line, bursts: int, packets: int = 9) -> list[bytes]:
    """Sequence numbers 100 and on, in bursts."""
    sent: list[bytes] = []
    for number in range(bursts):
        burst = frame_packets([bytes(20)] * packets, 96)
        data = bytearray(burst.data)
        number_packets(data, burst.starts, sequence=100 + number * packets, timestamp=number, ssrc=5, channel=0)
        sent += line.carry(Burst(data, burst.starts)).packets()
    return sent


def sequence_of(packet: bytes) -> int:
    return int.from_bytes(packet[6:8], "big")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "shares", [{"drop": 0.1}, {"reorder": 0.2}, {"duplicate": 0.2}, {"drop": 0.1, "reorder": 0.3, "duplicate": 0.1}]
)
def test_what_was_done_is_what_can_be_counted(seed: int, shares: dict[str, float]) -> None:
    line = make_line(seed, **shares)
    sent = carry(line, 60)
    before = line.record.dropped, line.record.reordered, line.record.duplicated
    counted = count([sequence_of(packet) for packet in sent])
    held = len(line._held)
    line.end()
    assert line.record.unsent == held
    # Packets still held when the session ends look lost, where a later one went out; so do losses at either end.
    assert counted["reordered"] == before[1]
    assert counted["duplicated"] == before[2]
    edges = count([99, *(sequence_of(packet) for packet in sent), 100 + 60 * 9])
    assert edges["dropped"] == before[0] + held
    assert any(before)


def test_nothing_happens_to_packets_without_a_fault() -> None:
    line = make_line(1)
    burst = frame_packets([b"x"], 96)
    assert line.carry(burst) is burst


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_counted_losses_equal_injected_ones(transport: str) -> None:
    options: dict[str, Any] = SMALL | {"bitrate": "1M", "seed": 5, "transport": transport, "auth": "none"}
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, **options) as fleet:
        camera = fleet.cameras[0]
        viewer = await Viewer(camera.rtsp_url).connect()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
            port.bind(("127.0.0.1", 0))
            port.setblocking(False)
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            number = port.getsockname()[1]
            wanted = f"RTP/AVP;unicast;client_port={number}-{number + 1}" if transport == "udp" else "RTP/AVP/TCP"
            reply = await viewer.ask("SETUP", "/trackID=1", Transport=wanted)
            viewer.session = reply.headers["session"].split(";")[0]
            await viewer.ask("PLAY")
            record = camera.stats

            def video() -> dict[str, int]:
                return dict(record()["sessions"][0]["tracks"]["video"])

            await wait_until(lambda: video()["packets"] > 20, "a good beginning")
            for fault, value in (("drop", "8"), ("reorder", "10"), ("duplicate", "7"), ("delay", "30")):
                await inflict(fleet, "cam-1", fault, value)
            faults = camera.stats()["faults"]
            assert faults == ["dropping 8 %", "reordering 10 %", "duplicating 7 %", "delaying up to 30 ms"]
            begun = video()["packets"]
            await wait_until(lambda: video()["packets"] > begun + 300, "a bad time")
            for fault in ("drop", "reorder", "duplicate", "delay"):
                await inflict(fleet, "cam-1", fault, "0")
            assert camera.stats()["faults"] == []
            done = video()["packets"]
            await wait_until(lambda: video()["packets"] > done + 20, "a good end")
            assert (await viewer.ask("TEARDOWN")).status == 200
            sequences = [packet.sequence for packet in viewer.packets]
            while transport == "udp":
                try:
                    sequences.append(int.from_bytes(port.recv(65_536)[2:4], "big"))
                except BlockingIOError:
                    break
        told = video()
        counted = count(sequences)
        assert {name: told[name] for name in counted} == counted
        assert all(counted.values())
        assert len(sequences) == told["packets"] - told["dropped"] + told["duplicated"] - told["unsent"]
        assert (told["unsent"], told["send_errors"]) == (0, 0)
        assert told["delayed"] > 100
        assert camera.stats()["sessions"][0]["dropped_packets"] == told["dropped"]
        await viewer.close()


async def test_delayed_packets_are_late_and_in_order() -> None:
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, auth="none", **SMALL) as fleet:
        camera = fleet.cameras[0]
        viewer = await Viewer(camera.rtsp_url).connect()
        await viewer.setup()
        await viewer.ask("PLAY")
        await viewer.see(3)
        await inflict(fleet, "cam-1", "delay", "400")
        loop = asyncio.get_running_loop()
        start = loop.time()
        ages = []
        while loop.time() < start + 2:
            (mark,) = (await viewer.see(1))[-1:]
            ages.append(camera.stats()["captured"] - 1 - mark.counter)
        assert max(ages) >= 3  # frames of 40 ms that came 120 ms late and more
        sequences = [packet.sequence for packet in viewer.packets]
        assert count(sequences) == {"dropped": 0, "reordered": 0, "duplicated": 0}
        await viewer.close()


@pytest.mark.parametrize("fault", ["drop", "reorder", "duplicate"])
async def test_losses_are_the_same_for_the_same_seed(fault: str) -> None:
    lines = []
    for _ in range(2):
        line = make_line(9, **{fault: 0.3})
        lines.append([sequence_of(packet) for packet in carry(line, 20)])
    assert lines[0] == lines[1]
    assert lines[0] != sorted(set(range(100, 280)))


async def test_impossible_losses_are_refused() -> None:
    mischief = Mischief(random.Random(1))
    calls: tuple[tuple[Callable[[], None], str], ...] = (
        (lambda: mischief.set_share("reorder", 101), "101"),
        (lambda: mischief.set_share("duplicate", -1), "-1"),
        (lambda: mischief.set_delay(10_001), "10001"),
        (lambda: mischief.add_quirk("polite"), "polite"),
        (lambda: mischief.remove_quirk("polite"), "polite"),
    )
    for call, value in calls:
        with pytest.raises(FaultError, match=value):
            call()
    assert mischief.told() == []

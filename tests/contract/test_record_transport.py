"""Recording over UDP and TLS: losses are counted to the packet, and no session is left behind."""

import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from edged.archive.coverage import cover
from edged.base.spans import Span
from edged.model import Cause, Loss, StreamState
from tests.certificates import certificate, server_context
from tests.recorder_kit import Site, judged, stream_of, until
from tests.rtsp_camera import rtsp_camera


class Fault:
    """Spoils the packets of the frames from 25 to 99; keeps account of those that never arrive in time."""

    def __init__(self, seed: int, spoil: "Callable[[Fault, list[bytes]], list[tuple[float, bytes]]]") -> None:
        self.draw = random.Random(seed)
        self.lost = 0
        self.spoiled = 0
        self.frame = 0
        self._spoil = spoil

    def __call__(self, frame: int, packets: list[bytes]) -> Sequence[tuple[float, bytes]]:
        self.frame = frame
        if not 25 <= frame < 100:
            return [(0.0, packet) for packet in packets]
        return self._spoil(self, packets)

    @property
    def over(self) -> bool:
        return self.frame > 110


def drop(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    kept = [packet for packet in packets if fault.draw.random() >= 0.2]
    fault.lost += len(packets) - len(kept)
    return [(0.0, packet) for packet in kept]


def double(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    sent = []
    for packet in packets:
        copies = fault.draw.choice((1, 1, 2, 3))
        fault.spoiled += copies - 1
        sent += [(fault.draw.choice((0.0, 0.05)) if copy else 0.0, packet) for copy in range(copies)]
    return sent


def shuffle(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    fault.draw.shuffle(packets)
    fault.spoiled += len(packets) - 1
    return [(0.0, packet) for packet in packets]


def delay(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    late = [fault.draw.random() < 0.2 for _ in packets]
    fault.spoiled += sum(late)
    return [
        (fault.draw.uniform(0.01, 0.08) if is_late else 0.0, packet)
        for is_late, packet in zip(late, packets, strict=True)
    ]


def everything(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    kept = [packet for _, packet in drop(fault, packets)]
    return [(wait, packet) for _, packet in double(fault, kept) for wait in (fault.draw.choice((0.0, 0.0, 0.04)),)]


SPOILS = [("udp", drop), ("udp", double), ("udp", shuffle), ("udp", delay), ("udp", everything), ("tcp", drop)]


def losses(site: Site, camera: str = "c1") -> list[Loss]:
    return [fact for fact in site.losses(camera=camera) if fact.cause is Cause.LOSS and fact.packets]


async def test_losses_counted_are_the_losses_there_were(tmp_path: Path) -> None:
    """Six cameras at once: what was injected is what is counted, in the status, the segments and the loss facts."""
    site = Site(tmp_path)
    faults: dict[str, Fault] = {}
    async with AsyncExitStack() as house:
        for number, (transport, spoil) in enumerate(SPOILS):
            name = f"{transport}-{spoil.__name__}"
            faults[name] = Fault(number, spoil)
            camera = await house.enter_async_context(rtsp_camera(plan=faults[name]))
            site.record(name, camera.url(), transport=transport)
        site.assign()
        async with site.recorder():
            await until(lambda: all(fault.over for fault in faults.values()))
            sealed = {name: len(site.segments(camera=name)) for name in faults}
            await until(lambda: all(len(site.segments(camera=name)) > sealed[name] for name in faults))
            status = await site.status(lambda status: True)
    for name, fault in faults.items():
        assert fault.lost + fault.spoiled > 20, "there was something to see"
        assert (fault.lost > 0) == name.endswith(("drop", "everything"))
        stream, segments, told = stream_of(status, name), site.segments(camera=name), losses(site, name)
        assert stream.sessions == 1
        assert stream.lost_packets == fault.lost, name
        assert sum(fact.packets for fact in told) == fault.lost
        assert sum(one.lost_packets for one in segments) == fault.lost
        for fact in told:
            assert any(one.start_us <= fact.start_us < fact.end_us <= one.end_us for one in segments)
        if not fault.lost:
            judged(site, name)


class Ragged:
    """Loses a fifth of all packets from the first frame to the last; `lost` are those that a later packet betrays.

    Nothing can betray what was lost before the first packet that arrived.
    """

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.lost = self.frame = self._owed = 0

    def __call__(self, frame: int, packets: list[bytes]) -> Sequence[tuple[float, bytes]]:
        self.frame = frame
        kept = []
        for number, packet in enumerate(packets):
            first = frame == number == 0
            if not first and (frame == 0 or self.draw.random() < 0.2):
                self._owed += 1
                continue
            self.lost += self._owed
            self._owed = 0
            kept.append((0.0, packet))
        return kept


async def test_i4_losses_outside_of_every_segment_are_facts_too(tmp_path: Path) -> None:
    """Before a session's first keyframe and behind its last frame, where no segment's line could count them."""
    site = Site(tmp_path)
    plans = {"tcp": Ragged(1), "udp": Ragged(2)}
    async with AsyncExitStack() as house:
        for transport, plan in plans.items():
            camera = await house.enter_async_context(rtsp_camera(plan=plan))
            site.record(transport, camera.url(), transport=transport)
        site.assign()
        async with site.recorder():
            await until(lambda: all(plan.frame > 130 for plan in plans.values()))
    for name, plan in plans.items():
        segments, told = site.segments(camera=name), losses(site, name)
        assert sum(fact.packets for fact in told) == plan.lost > 50
        early = [fact for fact in told if fact.end_us <= segments[0].start_us]
        assert sum(fact.packets for fact in early) > 0, "the first keyframe never came whole"
        outside = [fact for fact in told if not any(one.start_us <= fact.start_us < one.end_us for one in segments)]
        assert sum(one.lost_packets for one in segments) == plan.lost - sum(fact.packets for fact in outside)
        covered = [Span(one.start_us, one.end_us) for one in segments]
        window = Span(min(told[0].start_us, covered[0].start_us), max(told[-1].end_us, covered[-1].end_us))
        gaps = cover(window, covered, ()).gaps
        for fact in outside:
            assert any(gap.span.start_us <= fact.start_us <= fact.end_us <= gap.span.end_us for gap in gaps), fact


async def test_a_packet_later_than_the_window_is_lost_and_said_to_be(tmp_path: Path) -> None:
    chosen: list[int] = []

    def plan(frame: int, packets: list[bytes]) -> list[tuple[float, bytes]]:
        if frame in (30, 60):
            chosen.append(frame)
            return [(0.9, packets[0]), *((0.0, packet) for packet in packets[1:])]
        return [(0.0, packet) for packet in packets]

    site = Site(tmp_path)
    async with rtsp_camera(plan=plan) as camera:
        site.record("c1", camera.url(), transport="udp")
        site.assign()
        async with site.recorder():
            await until(lambda: len(chosen) == 2)
            sealed = len(site.segments())
            await until(lambda: len(site.segments()) > sealed + 1)
        assert sum(fact.packets for fact in losses(site)) == 2


async def test_udp_is_reported_upon_and_its_ports_are_the_recorders_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with rtsp_camera() as camera:
        site.record("c1", camera.url(), transport="udp")
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 2)
            play = next(iter(camera.sessions.values()))
            assert play.client_ports is not None
            assert play.client_ports[1] == play.client_ports[0] + 1
        judged(site)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_recorder_leaves_no_slot_taken(tmp_path: Path, transport: str) -> None:
    """A session that fails while it plays, one that is not wanted so any more, and one at the end of the process."""
    plays: list[int] = []

    def plan(frame: int, packets: list[bytes]) -> list[tuple[float, bytes]]:
        if frame == 0:
            plays.append(0)
        if frame == 40 and len(plays) == 1:
            packets = [packets[0][:12] + b"\x7d\x85 a form that was not agreed upon", *packets[1:]]
        return [(0.0, packet) for packet in packets]

    site = Site(tmp_path)
    async with rtsp_camera(plan=plan, slots=1, password="secret") as camera:
        site.record("c1", camera.url(), transport=transport)
        site.assign()
        async with site.recorder():
            await until(lambda: len(plays) == 2 and len(site.segments()) >= 3)
            site.record("c1", camera.url("other"), transport=transport)
            site.assign()
            sealed = len(site.segments())
            await until(lambda: len(plays) == 3 and len(site.segments()) > sealed)
        assert camera.sessions == {}
        assert camera.refused == 0


async def test_recording_over_tls(tmp_path: Path) -> None:
    file, key, pin = certificate(tmp_path, "camera", "127.91.0.1")
    site = Site(tmp_path)
    async with rtsp_camera(tls=server_context(file, key), host="127.91.0.1") as camera:
        site.record("c1", camera.url(), tls_pin=pin)
        site.record("c2", camera.url(), tls_ca=str(file))
        site.record("c3", camera.url())
        site.assign()
        async with site.recorder():
            await until(lambda: all(len(site.segments(camera=name)) >= 2 for name in ("c1", "c2")))
            status = await site.status(lambda status: stream_of(status, "c3").state is StreamState.DOWN)
        assert stream_of(status, "c3").code == "REC-028", "what nothing vouches for is never recorded from"
        judged(site, "c1")
        judged(site, "c2")
        assert camera.sessions == {}

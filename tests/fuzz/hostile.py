"""Hostile cameras, each in a process with little memory to spare: ``python -m tests.fuzz.hostile CASE``.

A case feeds tens of megabytes. It may end the session, with a declared error, or be recorded; what it must not do is
raise anything else, take long, or need more memory than SPARE_BYTES beyond what the process had.
"""

import itertools
import resource
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edged.record.errors import StreamFailed
from edged.record.net.replies import Replies
from edged.record.net.sdp import AudioTrack, Codec
from tests.fuzz.container import PPS, SPS, read_back
from tests.record_film import AUDIO_CHANNEL, START_US, Recording, film, packet

SPARE_BYTES = 64 * 1024 * 1024  # a picture of 8 MiB, moved once, its fragment, and what the allocator keeps
TOTAL_BYTES = 48 * 1024 * 1024
CPU_S = 10  # for all of it; the slowest case needs three
PORTION = 512 * 1024  # about what one tick brings from a fast camera
AAC = AudioTrack(None, 97, Codec.AAC, 48_000, 1, b"\x11\x88")


def _record(packets: Iterator[bytes], audio: AudioTrack | None = None, total: int = TOTAL_BYTES) -> None:
    """Feed the packets to a recording as fast as they can be made, a tick's worth at a time."""
    recorder = Recording(film(), sets=(SPS, PPS), audio=audio)
    recorder.feed(packet(b"\x65\x88" + bytes(20), number=0, stamp=0, marker=True), START_US)
    fed, at_us = 0, START_US
    portion = bytearray()
    for one in packets:
        portion += one
        if len(portion) >= PORTION:
            at_us += 100_000
            recorder.feed(bytes(portion), at_us)
            fed += len(portion)
            portion.clear()
            for tape in recorder.tapes:  # on the disk by now
                tape.pieces.clear()
        if fed >= total:
            return


def _numbered(payload: bytes, *, step: int = 3600, marker: bool = True) -> Iterator[bytes]:
    return (packet(payload, number=number, stamp=number * step, marker=marker) for number in itertools.count(1))


def _endless_nal() -> None:
    start = packet(b"\x7c\x85" + bytes(1000), number=1, stamp=3600)
    _record(
        itertools.chain([start], (packet(b"\x7c\x05" + bytes(1398), number=n, stamp=3600) for n in itertools.count(2)))
    )


def _parameter_set(number: int) -> bytes:
    """The beginning of a picture parameter set of this id, an Exp-Golomb code (ITU-T H.264, 9.1)."""
    return b"\x68" + (number + 1 << 16 - 2 * (number + 1).bit_length()).to_bytes(2, "big")


def _endless_parameter_sets() -> None:
    """Sets of all ids, none followed by a picture."""
    _record(
        packet(_parameter_set(number % 32) + bytes(60_000), number=number, stamp=number)
        for number in itertools.count(1)
    )


def _vast_parameter_sets() -> None:
    """Sets of all ids, in fragments of several megabytes, each in a whole access unit."""

    def packets() -> Iterator[bytes]:
        number, pieces = 1, 60
        for its_id in itertools.count():
            begin = _parameter_set(its_id % 32)[1:]
            for piece in range(pieces):
                header = 8 | (piece == 0) << 7 | (piece == pieces - 1) << 6
                payload = bytes((0x7C, header)) + (begin if piece == 0 else b"") + bytes([its_id % 251]) * 60_000
                yield packet(payload, number=number, stamp=its_id * 3600)
                number += 1
            yield packet(b"\x65\x88" + bytes(20), number=number, stamp=its_id * 3600, marker=True)
            number += 1

    _record(packets(), total=3 * TOTAL_BYTES)


def _tiny_sound() -> None:
    """AAC packets that hold as many frames as fit, each of one byte."""
    count = 250
    payload = struct.pack(">H", 16 * count) + struct.pack(">H", 1 << 3) * count + bytes(count)
    _record(
        (
            packet(payload, number=number, stamp=number * 1024 * count, channel=AUDIO_CHANNEL, kind=97)
            for number in itertools.count(1)
        ),
        AAC,
    )


def _endless_sound_frame() -> None:
    """AAC fragments of a frame that never ends."""
    payload = struct.pack(">HH", 16, 8191 << 3)
    _record(
        (
            packet(payload + bytes(1), number=number, stamp=0, channel=AUDIO_CHANNEL, kind=97)
            for number in itertools.count(1)
        ),
        AAC,
    )


def _endless_head() -> None:
    replies = Replies()
    replies.feed(b"RTSP/1.0 200 OK\r\n")
    for _ in range(TOTAL_BYTES // 4096):
        replies.feed(b"X-Header: " + b"x" * 4084 + b"\r\n")
        assert replies.take() is None


def _endless_early_frames() -> None:
    replies = Replies()
    for _ in range(4 * TOTAL_BYTES // 60_000):
        replies.feed(struct.pack(">BBH", 0x24, 0, 60_000) + bytes(60_000))
        assert replies.take() is None


def _vast_body() -> None:
    replies = Replies()
    replies.feed(b"RTSP/1.0 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    replies.take()


def _sparse_file() -> None:
    """A segment of which the file system kept the length and lost the rest."""
    with open("/proc/self/exe", "rb") as file:
        content = file.read(TOTAL_BYTES // 8)
    assert read_back(content) is None
    assert read_back(bytes(TOTAL_BYTES)) is None


CASES: Mapping[str, Callable[[], None]] = {
    "endless-nal": _endless_nal,
    "endless-parameter-sets": _endless_parameter_sets,
    "vast-parameter-sets": _vast_parameter_sets,
    "one-byte-packets": lambda: _record(_numbered(b"\x41")),
    "one-byte-keyframes": lambda: _record(_numbered(b"\x65")),
    "keyframes-at-one-time": lambda: _record(_numbered(b"\x65\x88", step=0)),
    "pictures-without-end": lambda: _record(_numbered(b"\x41\x9a" + bytes(1000), step=0, marker=False)),
    "empty-aggregates": lambda: _record(_numbered(b"\x78" + bytes(1300), step=0, marker=False)),
    "stray-packets": lambda: _record(
        packet(bytes(900), number=number, stamp=0, channel=number % 256) for number in itertools.count(1)
    ),
    "garbage": lambda: _record(bytes([number * 37 % 256]) * 1000 for number in itertools.count(1)),
    "tiny-sound": _tiny_sound,
    "endless-sound-frame": _endless_sound_frame,
    "endless-head": _endless_head,
    "endless-early-frames": _endless_early_frames,
    "vast-body": _vast_body,
    "sparse-file": _sparse_file,
}


def main() -> None:
    """Exit code 0 where the case came to its end or to a declared error."""
    film()  # encodes it where nobody has yet, with all the memory there is
    used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize"))
    limit = int(used.split()[1]) * 1024 + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    try:
        CASES[sys.argv[1]]()
    except StreamFailed as error:
        print(f"refused: {error.code}")
    else:
        print("taken")


if __name__ == "__main__":
    main()

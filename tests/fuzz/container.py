"""The cores of the files: parameter sets, boxes, fragments, what is read back of a torn file. See `cores`."""

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from edged.record.codecs import h264, h265
from edged.record.errors import BadStream
from edged.record.mp4.fmp4 import Sample, SyncPoint, fragment_head, indexed_keys, init_segment, random_access
from edged.record.mp4.fmp4_read import Salvage, salvage
from edged.record.mp4.formats import AudioFormat, VideoFormat
from edged.record.mp4.sample_entry import aac_entry
from edged.record.net import rtp
from tests.fuzz.dice import Dice
from tests.record_film import SECOND, START_US

YEAR_2200_US = 7_258_118_400 * SECOND
LONGEST_FRAGMENT_US = 120 * SECOND  # and the silence before it: no fragment of edged's is a tenth as long
SPS = bytes.fromhex("674d001f95a814016e40")
PPS = bytes.fromhex("68ee3c80")
VIDEO = h264.describe(SPS, [PPS])
SOUND = AudioFormat("mp4a.40.2", 48_000, aac_entry(b"\x11\x88", 48_000, 1))
INIT = init_segment(VIDEO)
INIT_WITH_SOUND = init_segment(VIDEO, SOUND)


def parameter_sets(data: bytes) -> None:
    """Any parameter sets are understood or refused; what is understood can be written down and read back."""
    for its_id in (h264.parameter_set_id, h265.picture_parameter_set_id):
        with contextlib.suppress(BadStream):
            its_id(data)
    dice = Dice(data)
    one, other = dice.portion(), dice.rest()
    tries: tuple[Callable[[], VideoFormat], ...] = (
        lambda: h264.describe(data, [PPS]),
        lambda: h264.describe(b"\x67" + one, [b"\x68" + other]),
        lambda: h265.describe(b"\x40\x01" + one, b"\x42\x01" + other, [b"\x44\x01" + one]),
        lambda: h265.describe(one, b"\x42" + data, [other]),
    )
    for describe in tries:
        with contextlib.suppress(BadStream):
            video = describe()
            found = read_back(init_segment(video) + fragment([(3000, b"\0\0\0\1\x65", True, 0)], 0, START_US))
            assert found is not None
            assert (found.width, found.height, found.codec) == (video.width, video.height, video.codec)


def samples(data: bytes) -> None:
    """Fragments of any samples are read back as they were written."""
    dice = Dice(data)
    content = INIT
    length, time, frames, duration = 0, 0, 0, 0
    points: list[SyncPoint] = []
    for _ in range(1 + dice.byte() % 4):
        rows: list[tuple[int, bytes, bool, int]] = []
        for _ in range(1 + dice.byte() % 6):
            body = b"".join(
                struct.pack(">I", 1 + len(nal)) + b"\x41" + nal
                for nal in (dice.portion(), *([b"x"] * (dice.byte() % 3)))
            )
            rows.append((dice.number(2), body, bool(dice.byte() & 1), dice.number(2) - 32768 if dice.byte() & 1 else 0))
        position, at, keys = len(content) + 32, time, list[SyncPoint]()
        content += fragment(rows, time, START_US + rtp.ticks_to_us(time))
        length = len(content)
        for index, (lasts, _, key, shift) in enumerate(rows):
            if key:
                keys.append(SyncPoint(time, position, index + 1))
            duration = max(duration, at + lasts, at + lasts + shift)
            at += lasts
        points += indexed_keys(keys, len(rows))
        frames += len(rows)
        time = at
    found = read_back(content + dice.rest())
    assert found is not None
    assert found.length >= length
    if found.length == length:
        assert (found.start_us, found.frames) == (START_US, frames)
        assert [(point.moof, point.sample) for point in found.points] == [(at.moof, at.sample) for at in points]
        assert found.duration_us == rtp.ticks_to_us(duration)


def files(data: bytes) -> None:
    """Of a file with any content, what is called whole is what a journal line may claim, and can be read back."""
    for content in (data, INIT + data):
        found = read_back(content)
        if found is None:
            continue
        assert 0 < found.length <= len(content)
        assert found.frames > 0
        assert len(found.points) <= found.keyframes <= found.frames
        assert 0 <= found.start_us <= found.end_us < YEAR_2200_US
        assert found.duration_us <= LONGEST_FRAGMENT_US * content.count(b"moof")
        again = read_back(content[: found.length] + random_access(found.points))
        assert again == found, "a recovered file is not read as it was recovered"


@dataclass(slots=True)
class _CountedReads:
    """A file's content that counts how often it is asked: reading back must stay linear in the file's size."""

    content: bytes
    reads: int = 0

    def __call__(self, at: int, count: int) -> bytes:
        self.reads += 1
        assert self.reads <= len(self.content), "more reads than bytes"
        return self.content[at : at + count]


def read_back(content: bytes) -> Salvage | None:
    """What recovery finds in a file of this content."""
    return salvage(_CountedReads(content), len(content))


def fragment(rows: list[tuple[int, bytes, bool, int]], time: int, wall_us: int) -> bytes:
    """A fragment of these samples (duration, bytes, key, shift), its decoding time and wall clock as given."""
    written = [Sample(duration, len(body), key, shift) for duration, body, key, shift in rows]
    return fragment_head(1, wall_us, time, written) + b"".join(body for _, body, _, _ in rows)

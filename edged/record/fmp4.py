"""Fragmented MP4, written (ISO/IEC 14496-12 and -15): bytes out, no files, no clock.

    ftyp moov | prft moof mdat | prft moof mdat | ... | mfra

Every fragment says the wall clock time of its first sample (`prft`, 8.16.5), so that a segment that a crash left
behind knows when it began. The `mfra` at the end lets players seek; nothing already written is ever rewritten.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edged.record.h264 import Picture
from edged.record.rtp import CLOCK

TRACK = 1
NTP_TO_UNIX = 2_208_988_800
SYNC_SAMPLE = 0x0200_0000  # depends on no other (8.8.3.1)
OTHER_SAMPLE = 0x0101_0000  # depends on others, and is no sync sample
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True, slots=True)
class Sample:
    """One access unit of a fragment. `shift` is presentation minus decoding time, in ticks."""

    duration: int
    size: int
    key: bool
    shift: int = 0


@dataclass(frozen=True, slots=True)
class SyncPoint:
    """Where a keyframe is: decoding time in ticks, its moof's position in the file, its number in the moof from 1."""

    time: int
    moof: int
    sample: int


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box (4.2)."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags (4.2)."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def init_segment(picture: Picture, sps: bytes, pps: Sequence[bytes]) -> bytes:
    """``ftyp`` and ``moov`` of one H.264 track at 90 kHz, without samples."""
    return box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6avc1mp41") + box(
        b"moov",
        full_box(
            b"mvhd",
            0,
            0,
            struct.pack(">IIIIIHHQ", 0, 0, 1000, 0, 0x10000, 0x0100, 0, 0),
            _MATRIX,
            bytes(24),
            struct.pack(">I", TRACK + 1),
        ),
        box(
            b"trak",
            full_box(
                b"tkhd",
                0,
                3,  # enabled, in the presentation
                struct.pack(">IIIIIQHHHH", 0, 0, TRACK, 0, 0, 0, 0, 0, 0, 0),
                _MATRIX,
                struct.pack(">II", picture.width << 16, picture.height << 16),
            ),
            _media(picture, sps, pps),
        ),
        box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">IIIII", TRACK, 1, 0, 0, OTHER_SAMPLE))),
    )


def fragment_head(sequence: int, wall_us: int, time: int, samples: Sequence[Sample]) -> bytes:
    """Everything of a fragment but the samples' own bytes, which follow it.

    `sequence` counts from 1, `wall_us` and `time` (ticks) belong to the first sample in decoding order.
    """
    shifted = any(sample.shift for sample in samples)
    entries: list[int] = []
    for sample in samples:
        entries += (sample.duration, sample.size, SYNC_SAMPLE if sample.key else OTHER_SAMPLE)
        if shifted:
            entries.append(sample.shift & 0xFFFF_FFFF)  # signed in version 1 (8.8.8)
    # tfhd: offsets count from the moof (8.8.7, default-base-is-moof)
    opening = full_box(b"tfhd", 0, 0x020000, struct.pack(">I", TRACK)) + full_box(
        b"tfdt", 1, 0, struct.pack(">Q", time)
    )
    run_size = 20 + 4 * len(entries)
    moof_size = 8 + 16 + 8 + len(opening) + run_size
    run = struct.pack(
        f">I4sIII{len(entries)}I",
        run_size,
        b"trun",
        0x0100_0701 | (0x800 if shifted else 0),  # version 1: data offset, duration, size, flags (and shift) per sample
        len(samples),
        moof_size + 8,
        *entries,
    )
    moof = box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", sequence)), box(b"traf", opening, run))
    prft = full_box(b"prft", 1, 24, struct.pack(">IQQ", TRACK, ntp_time(wall_us), time))
    body = sum(sample.size for sample in samples)
    return prft + moof + struct.pack(">I4s", 8 + body, b"mdat")


def random_access(points: Sequence[SyncPoint]) -> bytes:
    """``mfra``: where the keyframes are (8.8.9 to 8.8.11)."""
    table = full_box(
        b"tfra",
        1,
        0,
        struct.pack(">III", TRACK, 3, len(points)),  # traf and trun numbers in one byte, sample numbers in four
        b"".join(struct.pack(">QQBBI", point.time, point.moof, 1, 1, point.sample) for point in points),
    )
    return box(b"mfra", table, full_box(b"mfro", 0, 0, struct.pack(">I", 8 + len(table) + 16)))


def ntp_time(wall_us: int) -> int:
    """Microseconds UTC as a 64-bit NTP time, rounded up so that `wall_time` gives them back exactly."""
    seconds, rest = divmod(wall_us, 1_000_000)
    return ((seconds + NTP_TO_UNIX) & 0xFFFF_FFFF) << 32 | ((rest << 32) + 999_999) // 1_000_000


def wall_time(ntp: int) -> int:
    """A 64-bit NTP time as microseconds UTC; era 1 begins in 2036."""
    seconds = ntp >> 32
    if seconds < NTP_TO_UNIX:
        seconds += 1 << 32
    return (seconds - NTP_TO_UNIX) * 1_000_000 + ((ntp & 0xFFFF_FFFF) * 1_000_000 >> 32)


def _media(picture: Picture, sps: bytes, pps: Sequence[bytes]) -> bytes:
    description = full_box(b"stsd", 0, 0, struct.pack(">I", 1), _sample_entry(picture, sps, pps))
    empty = b"".join(full_box(kind, 0, 0, struct.pack(">I", 0)) for kind in (b"stts", b"stsc", b"stco"))
    table = box(b"stbl", description, empty, full_box(b"stsz", 0, 0, struct.pack(">II", 0, 0)))
    reference = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))
    return box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, CLOCK, 0, 0x55C4, 0)),  # language "und"
        full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"vide"), b"video\0"),
        box(b"minf", full_box(b"vmhd", 0, 1, bytes(8)), box(b"dinf", reference), table),
    )


def _sample_entry(picture: Picture, sps: bytes, pps: Sequence[bytes]) -> bytes:
    """``avc1`` with ``avcC`` (14496-15, 5.3.3.1 and 5.4.2)."""
    config = struct.pack(">BBBBBB", 1, picture.profile, picture.compatibility, picture.level, 0xFF, 0xE1)
    config += struct.pack(">H", len(sps)) + sps + bytes([len(pps)])
    config += b"".join(struct.pack(">H", len(one)) + one for one in pps)
    if picture.profile in (100, 110, 122, 144):
        config += bytes(
            [
                0xFC | picture.chroma_format,
                0xF8 | (picture.bit_depth_luma - 8),
                0xF8 | (picture.bit_depth_chroma - 8),
                0,
            ]
        )
    return box(
        b"avc1",
        struct.pack(">6xH16xHHIIIH32xHH", 1, picture.width, picture.height, 0x480000, 0x480000, 0, 1, 24, 0xFFFF),
        box(b"avcC", config),
    )

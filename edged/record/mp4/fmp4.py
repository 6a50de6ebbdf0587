"""Fragmented MP4, written (ISO/IEC 14496-12 and -15): bytes out, no files, no clock.

    ftyp moov | prft moof mdat | prft moof mdat | ... | mfra

Where audio is recorded, each moof has a second traf, and the sound lies in front of the pictures in mdat.
Every fragment says the wall clock time of its first sample (`prft`, 8.16.5), so that a segment that a crash left
behind knows when it began. The `mfra` at the end lets players seek; nothing already written is ever rewritten.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from edged.record.mp4.boxes import box, full_box
from edged.record.mp4.formats import AudioFormat, VideoFormat
from edged.record.net.rtp import CLOCK

T = TypeVar("T")
TRACK, SOUND_TRACK = 1, 2
NTP_TO_UNIX = 2_208_988_800
SYNC_SAMPLE = 0x0200_0000  # depends on no other (8.8.3.1)
OTHER_SAMPLE = 0x0101_0000  # depends on others, and is no sync sample
_MOOF_SIZE = 8 + 16  # with mfhd
_TRAF_SIZE = 8 + 16 + 20 + 20  # with tfhd, tfdt and the head of trun
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


@dataclass(frozen=True, slots=True)
class SoundRun:
    """A fragment's audio: the time of its first sample in the audio track's ticks, the samples, and their bytes."""

    time: int
    samples: Sequence[Sample]
    body: bytes


def init_segment(video: VideoFormat, audio: AudioFormat | None = None) -> bytes:
    """``ftyp`` and ``moov`` of one video track at 90 kHz and perhaps one audio track, without samples."""
    tracks = [_track(TRACK, CLOCK, b"vide", video.entry, video.width, video.height)]
    extends = [full_box(b"trex", 0, 0, struct.pack(">IIIII", TRACK, 1, 0, 0, OTHER_SAMPLE))]
    if audio is not None:
        tracks.append(_track(SOUND_TRACK, audio.rate, b"soun", audio.entry, 0, 0))
        extends.append(full_box(b"trex", 0, 0, struct.pack(">IIIII", SOUND_TRACK, 1, 0, 0, SYNC_SAMPLE)))
    return box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6avc1mp41") + box(
        b"moov",
        full_box(
            b"mvhd",
            0,
            0,
            struct.pack(">IIIIIHHQ", 0, 0, 1000, 0, 0x10000, 0x0100, 0, 0),
            _MATRIX,
            bytes(24),
            struct.pack(">I", SOUND_TRACK + 1),
        ),
        *tracks,
        box(b"mvex", *extends),
    )


def fragment_head(
    sequence: int, wall_us: int, time: int, samples: Sequence[Sample], sound: SoundRun | None = None
) -> bytes:
    """Everything of a fragment but the video samples' own bytes, which follow it; the sound lies in front of them.

    `sequence` counts from 1, `wall_us` and `time` (ticks) belong to the first sample in decoding order.
    """
    shifted = any(sample.shift for sample in samples)
    entries: list[int] = []
    for sample in samples:
        entries += (sample.duration, sample.size, SYNC_SAMPLE if sample.key else OTHER_SAMPLE)
        if shifted:
            entries.append(sample.shift & 0xFFFF_FFFF)  # signed in version 1 (8.8.8)
    # version 1: data offset, then duration, size, flags (and shift) of each sample
    flags = 0x0100_0701 | (0x800 if shifted else 0)
    size = _MOOF_SIZE + _TRAF_SIZE + 4 * len(entries)
    sound_entries: list[int] = []
    if sound is not None:
        for sample in sound.samples:
            sound_entries += (sample.duration, sample.size)
        size += _TRAF_SIZE + 4 * len(sound_entries)
    sound_size = len(sound.body) if sound is not None else 0
    fragments = [_track_fragment(TRACK, time, flags, len(samples), size + 8 + sound_size, entries)]
    if sound is not None:
        count = len(sound.samples)
        fragments.append(_track_fragment(SOUND_TRACK, sound.time, 0x0100_0301, count, size + 8, sound_entries))
    moof = box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", sequence)), *fragments)
    prft = full_box(b"prft", 1, 24, struct.pack(">IQQ", TRACK, ntp_time(wall_us), time))
    body = sound_size + sum(sample.size for sample in samples)
    head = prft + moof + struct.pack(">I4s", 8 + body, b"mdat")
    return head + sound.body if sound is not None else head


def indexed_keys(keys: Sequence[T], frames: int) -> Sequence[T]:
    """Which of a fragment's keyframes ``mfra`` names: of one that has nothing else, as of JPEG, the first will do."""
    return keys[:1] if len(keys) == frames else keys


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


def _track_fragment(
    track: int, time: int, run_flags: int, count: int, data_offset: int, entries: Sequence[int]
) -> bytes:
    """``traf`` (8.8.6) of _TRAF_SIZE bytes and four for each entry; offsets count from the moof (8.8.7)."""
    size = 20 + 4 * len(entries)
    run = struct.pack(f">I4sIII{len(entries)}I", size, b"trun", run_flags, count, data_offset, *entries)
    header = full_box(b"tfhd", 0, 0x020000, struct.pack(">I", track))
    return box(b"traf", header, full_box(b"tfdt", 1, 0, struct.pack(">Q", time)), run)


def _track(track: int, rate: int, handler: bytes, entry: bytes, width: int, height: int) -> bytes:
    is_sound = handler == b"soun"
    header = full_box(
        b"tkhd",
        0,
        3,  # enabled, in the presentation
        struct.pack(">IIIIIQHHHH", 0, 0, track, 0, 0, 0, 0, 0, 0x0100 if is_sound else 0, 0),
        _MATRIX,
        struct.pack(">II", width << 16, height << 16),
    )
    description = full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry)
    empty = b"".join(full_box(kind, 0, 0, struct.pack(">I", 0)) for kind in (b"stts", b"stsc", b"stco"))
    table = box(b"stbl", description, empty, full_box(b"stsz", 0, 0, struct.pack(">II", 0, 0)))
    reference = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))
    media_header = full_box(b"smhd", 0, 0, bytes(4)) if is_sound else full_box(b"vmhd", 0, 1, bytes(8))
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, rate, 0, 0x55C4, 0)),  # language "und"
        full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), b"sound\0" if is_sound else b"video\0"),
        box(b"minf", media_header, box(b"dinf", reference), table),
    )
    return box(b"trak", header, media)

"""What a simulated camera hears: a steady tone, with a counter in every packet that survives recording.

AAC (RFC 3640, mode AAC-hbr): each access unit begins with a data stream element (ISO/IEC 14496-3 table 4.10), which
decoders skip; it carries our magic bytes and the digits of a mark. Its head is two bytes long, so that what follows
stays aligned. G.711 (RFC 3551 sections 4.5.14): the first samples of each packet are a sync word no tone contains and
the digits, one sample each; a recorder that keeps the samples keeps them.

Decides only, but for the encoders that make the tone.
"""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.frame import AudioFrame

from simulators.packets import MARK_BYTES, Mark, digits, read_digits

SOUNDS = ("none", "aac", "pcma", "pcmu")
_MAGIC = bytes.fromhex("e5d6c1b24a3f4c7d")
_SYNC = bytes((0x00, 0x7F, 0x80, 0xFF)) * 2  # the loudest and the softest codes in turn, in either law
_DSE_TAG = 0x80  # id 4, instance 0, not aligned by padding
_TONE_HZ = 400
_AAC_HZ, _AAC_SAMPLES = 16_000, 1024
_G711_HZ, _G711_SAMPLES = 8_000, 160
_AAC_PRIMING, _AAC_LOOP = 10, 20  # 20 frames hold a whole number of waves


@dataclass(frozen=True, slots=True)
class Sound:
    """The audio of every camera of a fleet; `samples` to a packet, `units` in a loop, `config` for the SDP."""

    kind: str
    clock_rate_hz: int
    samples: int
    payload_type: int
    units: tuple[bytes, ...]
    config: bytes = b""

    def payload(self, mark: Mark) -> bytes:
        """The RTP payload of the unit this mark counts."""
        unit = self.units[mark.counter % len(self.units)]
        if self.kind != "aac":
            head = _SYNC + digits(mark)
            return head + unit[len(head) :]
        element = _MAGIC + digits(mark)
        unit = bytes((_DSE_TAG, len(element))) + element + unit
        return struct.pack(">HH", 16, len(unit) << 3) + unit  # one AU header: 13 bits of size, 3 of index


def make_sound(kind: str) -> Sound | None:
    """The sound of this kind (one of SOUNDS), or None for none."""
    if kind == "none":
        return None
    if kind == "aac":
        context = av.CodecContext.create("aac", "w")
        context.bit_rate = 32_000
        frames = _encode(context, _AAC_HZ, _AAC_SAMPLES, _AAC_PRIMING + _AAC_LOOP)
        loop = tuple(frames[_AAC_PRIMING : _AAC_PRIMING + _AAC_LOOP])
        return Sound(kind, _AAC_HZ, _AAC_SAMPLES, 97, loop, bytes(context.extradata or b"")[:2])
    context = av.CodecContext.create("pcm_alaw" if kind == "pcma" else "pcm_mulaw", "w")
    units = _encode(context, _G711_HZ, _G711_SAMPLES, 1)
    return Sound(kind, _G711_HZ, _G711_SAMPLES, 8 if kind == "pcma" else 0, tuple(units))


def read_aac_mark(unit: bytes) -> Mark | None:
    """The mark an AAC access unit begins with, or None. Raises ValueError where it is damaged."""
    if unit[:1] != bytes((_DSE_TAG,)) or unit[2:10] != _MAGIC:
        return None
    return read_digits(unit[10 : 10 + MARK_BYTES])


def find_g711_marks(samples: bytes) -> list[tuple[int, Mark]]:
    """Every mark in a run of G.711 samples, with the position of the packet it begins. Raises ValueError as above."""
    found, at = [], samples.find(_SYNC)
    while 0 <= at <= len(samples) - len(_SYNC) - MARK_BYTES:
        text = at + len(_SYNC)
        found.append((at, read_digits(samples[text : text + MARK_BYTES])))
        at = samples.find(_SYNC, text + MARK_BYTES)
    return found


def _encode(context: "av.AudioCodecContext", rate_hz: int, samples: int, count: int) -> list[bytes]:
    aac = context.name == "aac"
    context.sample_rate, context.layout, context.format = rate_hz, "mono", "fltp" if aac else "s16"
    context.time_base = Fraction(1, rate_hz)
    packets = []
    for number in range(count + 2 * aac):  # AAC comes two frames late
        frame = AudioFrame(context.format.name, "mono", samples)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, number * samples, Fraction(1, rate_hz)
        wave = [math.sin(2 * math.pi * _TONE_HZ * (number * samples + at) / rate_hz) * 0.25 for at in range(samples)]
        raw = (
            struct.pack(f"<{samples}f", *wave) if aac else struct.pack(f"<{samples}h", *(int(v * 32767) for v in wave))
        )
        frame.planes[0].update(raw.ljust(frame.planes[0].buffer_size, b"\0"))
        packets += context.encode(frame)
    packets += context.encode(None)
    return [bytes(packet) for packet in packets if packet.size]

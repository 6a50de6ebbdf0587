"""Motion JPEG as RTP packets (RFC 2435), with the mark painted into the picture, where alone it survives.

RFC 2435 drops every JPEG header on the way, so that a comment segment would be lost; what is left is the picture. The
clip's pictures begin with a black field. For each frame some of its 8x8 blocks are painted white, two bits to a 16x16
unit, and a reader finds them again by looking at the brightness (`read_picture`). Painting costs a few numbers at send
time: each of the four patterns of a unit goes through exactly two jumps of brightness, so that all Huffman codes have
the same length, and none of them can make a byte 0xFF, which would need stuffing.

Quantization tables go in-band in every frame (Q = 255, RFC 2435 section 4.2). Decides only.
"""

import struct
from dataclasses import dataclass
from functools import partial

from simulators.packets import MTU_BYTES, FrameTemplate, Mark, frame_packets

PAYLOAD_TYPE = 26  # static (RFC 3551 table 5)
LARGEST_SIDE = 2040  # eight bits of eight pixels each (RFC 2435 section 3.1.5)
BLACK, WHITE = 48, 208  # luma of the blocks, full range
MARK_UNITS = 53  # 16x16 units at the start of the picture: the first stays black, 52 carry 104 bits

_TYPE_420, _Q_INBAND = 1, 255
_DC_STEP = 8  # the quantizer of the DC coefficient; the encoder always writes this one
_PATTERNS = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (1, 1, 0, 0))
# The typical Huffman codes (ITU-T T.81 tables K.3 and K.5) that RFC 2435 takes for granted.
_DC_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110", "1111110")
_END_LUMA, _FLAT_CHROMA = "1010", "0000"


class JpegError(ValueError):
    """A picture that cannot be packetized or read; the message says why."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What of a JPEG file goes over the wire."""

    width: int
    height: int
    table: bytes
    data: bytes


def first_lines(width: int) -> int:
    """How many lines of the picture the black field takes."""
    return -(-MARK_UNITS // -(-width // 16)) * 16


def sent_bytes(jpeg: bytes) -> int:
    """What a picture takes on the wire, about: its scan, painted, and one pair of tables."""
    return len(_take_apart(jpeg).data) + (len(_UNITS[0]) - len(_BLACK_UNIT)) * (MARK_UNITS - 1) // 8 + 8 + 4 + 128


def build_template(jpeg: bytes) -> FrameTemplate:
    """Packetize one picture whose black field is as wide and high as `first_lines` says. Raises JpegError."""
    scan = _take_apart(jpeg)
    if scan.table[0] != _DC_STEP:
        raise JpegError(f"the DC quantizer is {scan.table[0]} instead of {_DC_STEP}")
    data, tail = _make_room(scan.data)
    size = scan.width + 7 >> 3, scan.height + 7 >> 3
    payloads: list[bytes] = []
    at = 0
    while at < len(data) or not payloads:
        head = struct.pack(">II", at, _TYPE_420 << 24 | _Q_INBAND << 16 | size[0] << 8 | size[1])
        if at == 0:
            head += struct.pack(">BBH", 0, 0, 128) + scan.table * 2
        piece = data[at : at + MTU_BYTES - len(head)]
        payloads.append(head + piece)
        at += len(piece)
    burst = frame_packets(payloads, PAYLOAD_TYPE)
    mark_at = 4 + 12 + 8 + 4 + 128
    data_bytes = sum(map(len, payloads))
    writer = partial(_paint, tail)
    return FrameTemplate(bytes(burst.data), tuple(burst.starts), mark_at, True, data_bytes, writer)


def read_picture(luma: bytes, pitch: int, width: int) -> Mark | None:
    """The mark painted into a decoded picture, or None where there is none. `luma` is its brightness, line by line.

    Raises ValueError where there is one and it is damaged.
    """
    units_wide = -(-width // 16)

    def is_white(unit: int, block: int) -> bool:
        x = unit % units_wide * 16 + block % 2 * 8 + 3
        y = unit // units_wide * 16 + block // 2 * 8 + 1  # near the top: the picture may be cropped below
        return luma[y * pitch + x] > (BLACK + WHITE) // 2

    value = 0
    for unit in range(1, MARK_UNITS):
        seen = tuple(int(is_white(unit, block)) for block in range(4))
        if seen not in _PATTERNS:
            return None
        value = value << 2 | _PATTERNS.index(seen)
    counter, capture_us, camera, check = value >> 72, value >> 20 & (1 << 52) - 1, value >> 8 & 0xFFF, value & 0xFF
    if check != _checksum(value >> 8):
        raise ValueError("the checksum of the painted mark does not fit")
    return Mark(counter, capture_us, camera)


def _checksum(value: int) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1, over 96 bits."""
    crc = 0
    for byte in value.to_bytes(12, "big"):
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc


def _take_apart(jpeg: bytes) -> Scan:
    """Size, quantization table and entropy-coded data of a baseline JPEG with one table (ITU-T T.81 annex B)."""
    table, width, height = b"", 0, 0
    at = 2
    while at + 4 <= len(jpeg):
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        body = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            table = body[1:65]
        elif marker == 0xC0:
            height, width = struct.unpack(">HH", body[1:5])
        elif marker == 0xDA:
            return Scan(width, height, table, jpeg[at:].removesuffix(b"\xff\xd9"))
    raise JpegError("no scan in this picture")


def _dc(difference: int) -> str:
    """The bits of a luma DC difference, with the end of its block: nothing but DC is in it."""
    size = abs(difference).bit_length()
    value = difference if difference >= 0 else difference + (1 << size) - 1
    return _DC_CODES[size] + (f"{value:0{size}b}" if size else "") + _END_LUMA


_DARK = (BLACK - 128) * 8 // _DC_STEP
_STEP = (WHITE - BLACK) * 8 // _DC_STEP
_BLACK_UNIT = _dc(0) * 4 + _FLAT_CHROMA * 2
_FIRST_UNIT = _dc(_DARK) + _dc(0) * 3 + _FLAT_CHROMA * 2


def _unit(pattern: tuple[int, ...]) -> str:
    """The bits of a unit that comes after black and ends black."""
    before, bits = 0, ""
    for block in pattern:
        bits += _dc((block - before) * _STEP)
        before = block
    return bits + _FLAT_CHROMA * 2


_UNITS = tuple(_unit(pattern) for pattern in _PATTERNS)


def _make_room(scan: bytes) -> tuple[bytes, str]:
    """The scan with the black field's units exchanged for painted ones (of mark zero), and the bits that share their
    last byte.
    """
    plain = scan.replace(b"\xff\x00", b"\xff")
    expected = _FIRST_UNIT + _BLACK_UNIT * (MARK_UNITS - 1)
    bits = len(plain) * 8
    number = int.from_bytes(plain, "big")
    if f"{number >> bits - len(expected):0{len(expected)}b}" != expected:
        raise JpegError("the picture does not begin with the black field")
    rest_bits = bits - len(expected)
    rest = number & (1 << rest_bits) - 1
    painted = _FIRST_UNIT + _UNITS[0] * (MARK_UNITS - 1)
    grown = len(painted) + rest_bits
    # The units grow by a whole number of bytes, so that the padding at the scan's end stays where it is.
    assert grown % 8 == 0
    whole = (int(painted, 2) << rest_bits | rest).to_bytes(grown // 8, "big")
    tail_bits = -len(painted) % 8
    tail = f"{rest >> rest_bits - tail_bits:0{tail_bits}b}" if tail_bits else ""
    return whole.replace(b"\xff", b"\xff\x00"), tail


def _paint(tail: str, mark: Mark) -> bytes:
    value = (mark.counter & 0xFFFFFFFF) << 64 | (mark.capture_us & (1 << 52) - 1) << 12 | mark.camera & 0xFFF
    value = value << 8 | _checksum(value)
    bits = _FIRST_UNIT + "".join(_UNITS[value >> shift & 3] for shift in range(102, -2, -2)) + tail
    return int(bits, 2).to_bytes(len(bits) // 8, "big")

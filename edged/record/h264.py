"""What an H.264 sequence parameter set says (ITU-T H.264, 7.3.2.1.1): enough for an MP4 sample entry. Pure."""

from dataclasses import dataclass

from edged.record.errors import BadStream

SLICE_FIRST, SLICE_LAST = 1, 5  # NAL unit types that carry picture (7.4.1)
IDR, SEI, SPS, PPS = 5, 6, 7, 8
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})


@dataclass(frozen=True, slots=True)
class Picture:
    """What a player must know before it decodes."""

    profile: int
    compatibility: int
    level: int
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int  # pixels, cropping applied
    height: int

    @property
    def codec(self) -> str:
        """RFC 6381."""
        return f"avc1.{self.profile:02x}{self.compatibility:02x}{self.level:02x}"


class _Bits:
    """Reads a raw byte sequence payload bit by bit; the emulation prevention bytes (7.4.1.1) are taken out first."""

    def __init__(self, payload: bytes) -> None:
        cleaned = bytearray()
        zeros = 0
        for byte in payload:
            if zeros >= 2 and byte == 3:
                zeros = 0
                continue
            zeros = zeros + 1 if byte == 0 else 0
            cleaned.append(byte)
        self._left = len(cleaned) * 8
        self._value = int.from_bytes(cleaned, "big")

    def take(self, count: int) -> int:
        if count > self._left:
            raise BadStream("the camera's sequence parameter set ends too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """ue(v), 9.1."""
        zeros = 0
        while self.take(1) == 0:
            zeros += 1
            if zeros > 32:
                raise BadStream("the camera's sequence parameter set is damaged")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v), 9.1.1."""
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def parameter_set_id(nal: bytes) -> int:
    """The id that a picture parameter set goes by (7.3.2.2). Raises BadStream."""
    return _Bits(nal[1:8]).unsigned()


def parse_sps(nal: bytes) -> Picture:
    """The meaning of a sequence parameter set, NAL header included. Raises BadStream where it has none."""
    if len(nal) < 4 or len(nal) > 4096 or nal[0] & 31 != SPS:
        raise BadStream("the camera's sequence parameter set is damaged")
    bits = _Bits(nal[1:])
    profile, compatibility, level = bits.take(8), bits.take(8), bits.take(8)
    bits.unsigned()  # its id
    chroma, luma_depth, chroma_depth, separate = 1, 8, 8, 0
    if profile in _WITH_CHROMA:
        chroma = bits.unsigned()
        if chroma == 3:
            separate = bits.take(1)
        luma_depth, chroma_depth = 8 + bits.unsigned(), 8 + bits.unsigned()
        bits.take(1)
        if bits.take(1):
            _skip_scaling_lists(bits, 8 if chroma != 3 else 12)
    bits.unsigned()  # frame number length
    _skip_order_count(bits)
    bits.unsigned()  # reference frames
    bits.take(1)
    across, down = bits.unsigned() + 1, bits.unsigned() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    left = right = top = bottom = 0
    if bits.take(1):
        left, right, top, bottom = bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned()
    # 7.4.2.1.1: cropping counts in chroma samples, and in field lines where fields may come
    unit_x = 2 if chroma in (1, 2) and not separate else 1
    unit_y = (2 if chroma == 1 and not separate else 1) * (2 - frames_only)
    width = across * 16 - unit_x * (left + right)
    height = down * 16 * (2 - frames_only) - unit_y * (top + bottom)
    if not (0 < width <= 16384 and 0 < height <= 16384 and chroma <= 3 and luma_depth <= 14 and chroma_depth <= 14):
        raise BadStream("the camera's sequence parameter set describes an impossible picture")
    return Picture(profile, compatibility, level, chroma, luma_depth, chroma_depth, width, height)


def _skip_scaling_lists(bits: _Bits, lists: int) -> None:
    for index in range(lists):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        count = bits.unsigned()
        if count > 255:
            raise BadStream("the camera's sequence parameter set is damaged")
        for _ in range(count):
            bits.signed()

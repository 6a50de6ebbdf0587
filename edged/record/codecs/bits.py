"""Codec headers read bit by bit. Pure."""

from edged.record.errors import BadStream


def without_emulation(payload: bytes) -> bytes:
    """A NAL unit's payload without its emulation prevention bytes (ITU-T H.264, 7.4.1; H.265, 7.4.2)."""
    cleaned = bytearray()
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        zeros = zeros + 1 if byte == 0 else 0
        cleaned.append(byte)
    return bytes(cleaned)


class Bits:
    """Reads `content` from its first bit on; `what` names it in errors."""

    def __init__(self, content: bytes, what: str) -> None:
        self._left = len(content) * 8
        self._value = int.from_bytes(content, "big")
        self._what = what

    def take(self, count: int) -> int:
        """The next `count` bits. Raises BadStream where there are fewer."""
        if count > self._left:
            raise BadStream(f"the camera's {self._what} ends too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """ue(v) (ITU-T H.264, 9.1). Raises BadStream."""
        zeros = 0
        while self.take(1) == 0:
            zeros += 1
            if zeros > 32:
                raise BadStream(f"the camera's {self._what} is damaged")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v) (ITU-T H.264, 9.1.1). Raises BadStream."""
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)

"""What a hostile or broken camera sends to hurt: heads without end, lengths below zero, units beyond measure.

Decides only, piece by piece: nothing here is ever whole in memory.
"""

from collections.abc import Iterator
from itertools import chain, repeat

from simulators.packets import MTU_BYTES, PAYLOAD_TYPE

GIANT_PAYLOAD_TYPE = PAYLOAD_TYPE
_HUGE_HEADER = 10_000_000
_GIANT_NAL = 200_000_000
_PIECE = 64 * 1024
_PACKETS_AT_ONCE = 2000  # 2.8 MB per frame's turn: a client that reads as fast as it can is not cut off


def answer_to_describe(quirks: "set[str]", head: bytes, body: bytes) -> Iterator[bytes] | None:
    """How a hostile camera answers DESCRIBE, where an honest one would send this head and body; None: honestly."""
    start, _, headers = head.partition(b"\r\n")
    if "huge-headers" in quirks:
        pieces = repeat(b"a" * _PIECE, _HUGE_HEADER // _PIECE)
        return chain((start + b"\r\nX-Filler: ",), pieces, (b"\r\n" + headers + body,))
    if "endless-headers" in quirks:
        line = b"X-Filler: " + b"a" * 1000 + b"\r\n"
        return chain((start + b"\r\n",), repeat(line * (_PIECE // len(line))))
    if "negative-length" in quirks:
        kept = [line for line in headers.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        return iter((start + b"\r\nContent-Length: -1\r\n" + b"\r\n".join(kept) + body,))
    return None


def giant_nal(codec: str) -> Iterator[list[bytes]]:
    """One NAL unit of 200 MB as RTP payloads (RFC 6184 section 5.8, RFC 7798 section 4.4.3), some at a time."""
    head, kind = (bytes((49 << 1, 1)), 1) if codec == "h265" else (b"\x5c", 1)
    piece = b"\x55" * (MTU_BYTES - len(head) - 1)
    left = _GIANT_NAL
    first = True
    while left > 0:
        payloads = []
        for _ in range(min(_PACKETS_AT_ONCE, -(-left // len(piece)))):
            left -= len(piece)
            flags = 0x80 if first else 0x40 if left <= 0 else 0
            first = False
            payloads.append(head + bytes((kind | flags,)) + piece)
        yield payloads

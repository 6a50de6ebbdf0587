"""The boxes that MP4 files are made of (ISO/IEC 14496-12, 4.2), written and found. Pure."""

import struct


class Damaged(Exception):
    """The bytes are not what edged writes."""


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def children(content: bytes) -> list[tuple[bytes, bytes]]:
    """(kind, body) of each box in `content`. Raises Damaged where they do not fill it."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if length < 8 or at + length > len(content):
            raise Damaged
        found.append((content[at + 4 : at + 8], content[at + 8 : at + length]))
        at += length
    return found


def descend(content: bytes, *path: bytes) -> bytes:
    """The body of the first box at `path`. Raises Damaged where there is none."""
    for kind in path:
        for found, body in children(content):
            if found == kind:
                content = body
                break
        else:
            raise Damaged
    return content

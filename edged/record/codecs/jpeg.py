"""JPEG pictures as RTP carries them (RFC 2435): without the headers that decoders need, which are made here. Pure."""

import struct
from dataclasses import dataclass

from edged.record.errors import BadStream
from edged.record.mp4.formats import VideoFormat
from edged.record.mp4.sample_entry import visual_entry

END = b"\xff\xd9"
WITH_RESTARTS = 64  # types from here on carry a restart header (3.1.3)
TABLES_FOLLOW = 128  # values of Q from here on: tables come in the stream (3.1.8)
DYNAMIC = 255  # tables of this Q may change with every picture

# The tables of ITU-T T.81, annex K, in the order of the zigzag: what Q below 128 scales (RFC 2435, 4.2) ...
_LUMA = bytes.fromhex(
    "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933"
    "383740485c4e404457453738506d51575f626768673e4d71797064785c656763"
)
_CHROMA = bytes.fromhex("1112121815182f1a1a2f63423842" + "63" * 50)
# ... and the only Huffman tables that RFC 2435 knows: class and number, how many codes of each length, their values.
_HUFFMAN = bytes.fromhex(
    "0000010501010101010100000000000000000102030405060708090a0b"
    "100002010303020403050504040000017d"
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a"
    "434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9"
    "aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
    "0100030101010101010101010000000000000102030405060708090a0b"
    "1100020102040403040705040400010277"
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a3536373839"
    "3a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7"
    "a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the RTP headers of a picture say. `restart` is in macroblocks, 0 for none."""

    kind: int
    quality: int
    width: int
    height: int
    restart: int
    precision: int  # bit n is set where table n has two bytes an entry
    tables: bytes


def scaled_tables(quality: int) -> bytes:
    """The two tables that a Q of 1 to 99 stands for (RFC 2435, 4.2). Raises BadStream for any other below 128."""
    if not 1 <= quality <= 99:
        raise BadStream(f"the camera sends JPEG with a quality that is not defined ({quality})")
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    return bytes(min(max((entry * factor + 50) // 100, 1), 255) for entry in _LUMA + _CHROMA)


def header(picture: Picture) -> bytes:
    """Everything of the JPEG file in front of the scan's data (RFC 2435, 4.1). Raises BadStream."""
    parts = [b"\xff\xd8"]
    at = 0
    for number in (0, 1):
        size = 128 if picture.precision >> number & 1 else 64
        table = picture.tables[at : at + size]
        if len(table) != size:
            if number == 1 and not table:  # a single table serves all components
                table, size = picture.tables[:at], at
            else:
                raise BadStream("the camera sends JPEG without its quantisation tables")
        at += size
        parts.append(_segment(0xDB, bytes([(size == 128) << 4 | number]) + table))
    if picture.restart:
        parts.append(_segment(0xDD, struct.pack(">H", picture.restart)))
    luma = 0x21 if picture.kind % WITH_RESTARTS == 0 else 0x22  # 4:2:2 or 4:2:0 (3.1.3)
    frame = struct.pack(">BHHB9B", 8, picture.height, picture.width, 3, 1, luma, 0, 2, 0x11, 1, 3, 0x11, 1)
    parts.append(_segment(0xC0, frame))
    parts.append(_segment(0xC4, _HUFFMAN))
    parts.append(_segment(0xDA, bytes((3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0))))
    return b"".join(parts)


def describe(picture: Picture) -> VideoFormat:
    """The track that `picture` begins: QuickTime's ``jpeg``, for want of an entry of ISO's own."""
    entry = visual_entry(b"jpeg", picture.width, picture.height)
    return VideoFormat("jpeg", picture.width, picture.height, entry, picture.kind % WITH_RESTARTS)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body

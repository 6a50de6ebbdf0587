"""The ONVIF metadata track: an XML document now and then (ONVIF Streaming 5.2.1). Decides only."""

from datetime import UTC, datetime, timedelta

from simulators.packets import MTU_BYTES

CLOCK_RATE_HZ = 90_000
PAYLOAD_TYPE = 107
INTERVAL_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def payloads(counter: int, camera: int, captured_us: int) -> list[bytes]:
    """One document as RTP payloads, cut where it exceeds the MTU; its end is where the marker bit is."""
    moment = (_EPOCH + timedelta(microseconds=captured_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    objects = "".join(
        f'<tt:Object ObjectId="{number}"><tt:Appearance><tt:Shape><tt:CenterOfGravity x="0.{number}" y="0.5"/>'
        "</tt:Shape></tt:Appearance></tt:Object>"
        for number in range(1 + counter % 20)  # from one packet to two
    )
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema"><tt:VideoAnalytics>'
        f'<tt:Frame UtcTime="{moment}" Source="camera-{camera}-document-{counter}">{objects}</tt:Frame>'
        "</tt:VideoAnalytics></tt:MetadataStream>"
    ).encode()
    return [document[at : at + MTU_BYTES] for at in range(0, len(document), MTU_BYTES)]

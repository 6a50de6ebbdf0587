"""What the URIs of a camera's RTSP server mean, and where it redirects to. Decides only."""

from urllib.parse import urlsplit

from simulators.sdp import TRACKS

STREAMS = ("main", "sub")
_MOVED = "moved"  # the path a redirected client is sent to


def locate(uri: str) -> tuple[str | None, str | None]:
    """The stream a URI names, and the kind of track where it names one rather than the whole."""
    parts = [part for part in urlsplit(uri).path.split("/") if part]
    if parts[:1] == [_MOVED]:
        del parts[0]
    if not parts or parts[0] not in STREAMS or len(parts) > 2:
        return None, None
    if len(parts) == 1:
        return parts[0], None
    return (parts[0], TRACKS[parts[1]]) if parts[1] in TRACKS else (None, None)


def without_track(uri: str) -> str:
    """The URI of the stream, without query and track."""
    base = uri.split("?")[0].rstrip("/")
    return base.rpartition("/")[0] if base.rpartition("/")[2] in TRACKS else base


def redirect(uri: str, stream: str, quirks: set[str], elsewhere: str | None) -> str | None:
    """Where DESCRIBE of this URI is sent to, or None where it is answered."""
    where = urlsplit(uri)
    home = f"{where.scheme}://{where.netloc}"
    if "redirect-loop" in quirks:
        hop = int(where.query.removeprefix("hop=") or 0) if where.query.removeprefix("hop=").isdecimal() else 0
        return f"{home}/{stream}?hop={hop + 1}"
    if elsewhere is not None:
        return elsewhere
    if "redirect" in quirks and not where.path.startswith(f"/{_MOVED}/"):
        return f"{home}/{_MOVED}/{stream}"
    return None

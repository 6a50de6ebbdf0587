"""Logging: one line an event on stderr, and nothing confidential in it (I9; Lhasa art. 30, 33).

Camera addresses, stream URLs and credentials are confidential. No message should carry them; the filter here is the
second line of defence for text that comes from elsewhere (libraries, operating-system errors).
"""

import logging
import os
import re
import sys

_URL = re.compile(r"\b(?:rtsps?|https?|soap\.udp)://[^\s'\"<>]+", re.IGNORECASE)
_CREDENTIALS = re.compile(r"\b(password|passwd|pwd|token|nonce|response)\s*[=:]\s*\S+", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?(?![\d.])")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z:])(?=[0-9A-Fa-f:]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]{2,39}(?:%\w+)?(?![0-9A-Za-z:])"
)
_MAC = re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b")
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def redact(text: str) -> str:
    """`text` without URLs, IP and MAC addresses, and values that look like credentials."""
    text = _URL.sub("<url>", text)
    text = _CREDENTIALS.sub(r"\1=<secret>", text)
    text = _MAC.sub("<mac>", text)
    text = _IPV4.sub("<address>", text)
    return _IPV6.sub("<address>", text)


class RedactingFormatter(logging.Formatter):
    """Formats a record, traceback included, and redacts the result; prefixes journald priorities where asked to."""

    def __init__(self, *, journald: bool) -> None:
        super().__init__(
            "%(levelname)s %(name)s: %(message)s" if journald else "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
        )
        self._journald = journald

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        if not self._journald:
            return text
        priority = _PRIORITY.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def set_up_logging(level: str = "info") -> None:
    """Send the log to stderr: with priorities when systemd's journal reads it, with times otherwise."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(journald="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Chatter of libraries below warning has no reader, and some of it quotes addresses.
    for name in ("aiohttp.access", "zeep", "onvif", "asyncio", "mqtt"):
        logging.getLogger(name).setLevel(logging.WARNING)

"""RTSP inside TLS (rtsps://): whom to believe, and a socket that reads like a plain one. Never unverified.

A certificate is checked against the system's authorities or a bundle of the owner's, by chain and by name; or it is
pinned: its own SHA-256 fingerprint is what counts, which is how cameras that signed their certificate themselves are
trusted. Both are checked before a single byte of the conversation, credentials above all, is sent.
"""

import hashlib
import hmac
import os
import re
import socket
import ssl
from typing import Any

from edged.record.errors import UntrustedCamera

_PIN = re.compile(r"[0-9a-f]{64}")


class Trust:
    """The certificates to check against: each bundle is read once, and again when the file changes."""

    def __init__(self) -> None:
        self._contexts: dict[str, tuple[tuple[int, int], ssl.SSLContext]] = {}

    def context(self, ca: str, pin: str) -> ssl.SSLContext:
        """For a stream with this bundle and pin (see AssignedStream). Raises UntrustedCamera where `ca` is unusable."""
        if pin and not ca:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # the fingerprint is checked instead, by `check_pin`
            return context
        try:
            status = os.stat(ca) if ca else None
            version = (status.st_mtime_ns, status.st_size) if status is not None else (0, 0)
            known = self._contexts.get(ca)
            if known is None or known[0] != version:
                known = self._contexts[ca] = version, ssl.create_default_context(cafile=ca or None)
            return known[1]
        except (OSError, ssl.SSLError) as error:
            raise UntrustedCamera(
                f"the certificates to check the camera against cannot be read ({type(error).__name__})",
                hint="correct tls_ca: a PEM file that the recorder may read",
            ) from None


def check_pin(certificate: bytes | None, pin: str) -> None:
    """Compare the camera's certificate (DER) with the pin, in hexadecimal with or without colons.

    Raises UntrustedCamera where they differ, and for a pin that is no SHA-256 fingerprint.
    """
    wanted = pin.replace(":", "").strip().lower()
    if not _PIN.fullmatch(wanted):
        raise UntrustedCamera("the pin is no SHA-256 fingerprint", hint="correct tls_pin: 64 hexadecimal digits")
    if certificate is None or not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), wanted):
        raise UntrustedCamera(
            "the camera shows another certificate than the pinned one",
            hint="if it was renewed on purpose, correct tls_pin; otherwise somebody stands in between",
        )


class TlsSocket:
    """A connected socket inside TLS. Like a plain non-blocking one it raises BlockingIOError where it would wait."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Takes `sock` over. Raises ValueError for a host that no certificate can name."""
        self._tls = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)

    def shake_hands(self) -> None:
        """Go on with the handshake. Raises BlockingIOError, UntrustedCamera, OSError."""
        try:
            self._tls.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLCertVerificationError as error:
            raise UntrustedCamera(
                f"the camera's certificate is not to be trusted ({error.verify_message})",
                hint="give its authority's certificate as tls_ca, or pin its own fingerprint with tls_pin",
            ) from None

    def certificate(self) -> bytes | None:
        """The camera's own certificate in DER, once hands are shaken."""
        return self._tls.getpeercert(binary_form=True)

    def recv_into(self, view: memoryview) -> int:
        """Fill `view` with what has arrived, record by record; 0 at the end. Raises BlockingIOError, OSError."""
        filled = 0
        try:
            while filled < len(view):
                count = self._tls.recv_into(view[filled:])
                if count == 0:
                    break
                filled += count
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if not filled:
                raise BlockingIOError from None
        except OSError:
            # What came before the error is whole; the next call meets the error again.
            if not filled:
                raise
        return filled

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; empty at the end. Raises BlockingIOError, OSError."""
        try:
            return self._tls.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def send(self, data: bytes) -> int:
        """Send some of `data`; returns how much. Raises BlockingIOError, OSError."""
        try:
            return self._tls.send(data) if data else 0
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def getpeername(self) -> Any:
        return self._tls.getpeername()

    def getsockname(self) -> Any:
        return self._tls.getsockname()

    def fileno(self) -> int:
        return self._tls.fileno()

    def close(self) -> None:
        self._tls.close()

"""Answering an RTSP server's challenge: Digest (RFC 2617 and 7616, with and without qop) and Basic. Pure.

Digest is preferred wherever the camera offers it, since Basic sends the password readable.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence

_PARAMETER = re.compile(r"""([A-Za-z][\w-]*)\s*=\s*(?:"([^"]*)"|([^\s,"]+))""")
_HASHES = {"MD5": hashlib.md5, "MD5-SESS": hashlib.md5, "SHA-256": hashlib.sha256, "SHA-256-SESS": hashlib.sha256}


class Credentials:
    """User name and password, and the last challenge of one camera. `token` gives a fresh random string."""

    def __init__(self, username: str, password: str, token: Callable[[], str]) -> None:
        self.username = username
        self._password = password
        self._token = token
        self._basic = False
        self._digest: dict[str, str] | None = None
        self._count = 0

    def challenge(self, offers: Sequence[str]) -> bool:
        """Take over the WWW-Authenticate headers of a 401. False where none of them can be answered."""
        digests = [parameters for offer in offers for parameters in _digests(offer)]
        if digests:
            # RFC 7616, 3.7: the server's order is its preference.
            self._digest, self._count = digests[0], 0
            return True
        self._digest = None
        self._basic = any(re.match(r"\s*basic\b", offer, re.IGNORECASE) for offer in offers)
        return self._basic

    def stale(self) -> bool:
        """Whether the last challenge says that only the nonce had grown old, not that the password is wrong."""
        return self._digest is not None and self._digest.get("stale", "").lower() == "true"

    def header(self, method: str, uri: str) -> str | None:
        """The value of the Authorization header, or None before a challenge came."""
        if self._digest is not None:
            return self._answer(self._digest, method, uri)
        if self._basic:
            return "Basic " + base64.b64encode(f"{self.username}:{self._password}".encode()).decode()
        return None

    def _answer(self, challenge: dict[str, str], method: str, uri: str) -> str:
        algorithm = challenge.get("algorithm", "MD5").upper()
        new_hash = _HASHES[algorithm]

        def h(text: str) -> str:
            return new_hash(text.encode(), usedforsecurity=False).hexdigest()

        realm, nonce = challenge.get("realm", ""), challenge.get("nonce", "")
        self._count += 1
        count, cnonce = f"{self._count:08x}", self._token()
        ha1 = h(f"{self.username}:{realm}:{self._password}")
        if algorithm.endswith("-SESS"):
            ha1 = h(f"{ha1}:{nonce}:{cnonce}")
        ha2 = h(f"{method}:{uri}")
        with_qop = "auth" in [choice.strip() for choice in challenge.get("qop", "").lower().split(",")]
        answer = h(f"{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}") if with_qop else h(f"{ha1}:{nonce}:{ha2}")
        parts = [f'username="{self.username}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
        if "algorithm" in challenge:
            parts.append(f"algorithm={challenge['algorithm']}")
        parts.append(f'response="{answer}"')
        if "opaque" in challenge:
            parts.append(f'opaque="{challenge["opaque"]}"')
        if with_qop:
            parts += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
        elif algorithm.endswith("-SESS"):
            parts.append(f'cnonce="{cnonce}"')
        return "Digest " + ", ".join(parts)


def _digests(offer: str) -> list[dict[str, str]]:
    """The digest challenges in one header value that can be answered (a header may hold several schemes)."""
    found = []
    for piece in re.split(r"(?i)\bdigest\s+", offer)[1:]:
        parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(piece)}
        qop = parameters.get("qop", "")
        if parameters.get("algorithm", "MD5").upper() in _HASHES and (not qop or "auth" in re.split(r"[,\s]+", qop)):
            found.append(parameters)
    return found

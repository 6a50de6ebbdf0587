"""Answering an RTSP server's challenge: Digest (RFC 2617 and 7616, with and without qop) and Basic. Pure.

Of several challenges the strongest is answered: SHA-256 before MD5, and Basic, which sends the password readable, only
where Digest was never offered. Of the qualities of protection only `auth` is: `auth-int` would hash bodies that
requests here do not have, and no camera known asks for it alone.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence

# A scheme's name stands alone, a parameter has a value; what lies in quotes is neither.
_WORD = re.compile(r"""([A-Za-z][\w-]*)(?:\s*(=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""")
_MD5, _SHA256 = ("MD5", "MD5-SESS"), ("SHA-256", "SHA-256-SESS")
_HASHES = {**dict.fromkeys(_MD5, hashlib.md5), **dict.fromkeys(_SHA256, hashlib.sha256)}


class Credentials:
    """User name and password, and the last challenge of one camera. `token` gives a fresh random string."""

    def __init__(self, username: str, password: str, token: Callable[[], str]) -> None:
        self.username = username
        self._password = password
        self._token = token
        self._basic = False
        self._digest: dict[str, str] | None = None
        self._digest_seen = False
        self._count = 0
        self.objection = ""  # why the last challenge could not be answered

    def challenge(self, offers: Sequence[str]) -> bool:
        """Take over the WWW-Authenticate headers of a 401. False where none can be answered: see `objection`."""
        challenges = [one for offer in offers for one in parse_challenges(offer)]
        digests = [parameters for scheme, parameters in challenges if scheme == "digest"]
        self._digest_seen |= bool(digests)
        answerable = [one for one in digests if _algorithm(one) in _HASHES and _has_auth(one)]
        self._basic, self.objection = False, ""
        if answerable:
            # The server's own order decides between equals (RFC 7616, 3.7).
            strongest = max(answerable, key=lambda one: _algorithm(one) in _SHA256)
            if self._digest is None or self._digest.get("nonce") != strongest.get("nonce"):
                self._count = 0
            self._digest = strongest
            return True
        self._digest = None
        if digests:
            self.objection = "the camera asks for a digest login of a kind that edged does not answer"
            return False
        if self._digest_seen:
            self.objection = "the camera no longer asks for a digest login but for a weaker one"
            return False
        self._basic = any(scheme == "basic" for scheme, _ in challenges)
        if not self._basic:
            self.objection = "the camera asks for a login but names no scheme that edged knows"
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
        algorithm = _algorithm(challenge)
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
        with_qop = bool(challenge.get("qop"))
        answer = h(f"{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}") if with_qop else h(f"{ha1}:{nonce}:{ha2}")
        hashed_name = challenge.get("userhash", "").lower() == "true"  # RFC 7616, 3.4.4
        username = h(f"{self.username}:{realm}") if hashed_name else _quotable(self.username)
        parts = [f'username="{username}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
        if "algorithm" in challenge:
            parts.append(f"algorithm={challenge['algorithm']}")
        parts.append(f'response="{answer}"')
        if "opaque" in challenge:
            parts.append(f'opaque="{challenge["opaque"]}"')
        if with_qop:
            parts += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
        elif algorithm.endswith("-SESS"):
            parts.append(f'cnonce="{cnonce}"')
        if hashed_name:
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)


def parse_challenges(value: str) -> list[tuple[str, dict[str, str]]]:
    """The challenges in one WWW-Authenticate header: (scheme in lower case, parameters by lower-case name).

    A header may hold several, separated like parameters (RFC 7235, 4.1). Values stay as quoted, escapes included:
    they are echoed and hashed as they came. The first of parameters with one name counts.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for name, has_value, quoted, plain in _WORD.findall(value):
        if not has_value:
            found.append((name.lower(), {}))
        elif found:
            found[-1][1].setdefault(name.lower(), quoted or plain)
    return found


def _algorithm(parameters: dict[str, str]) -> str:
    return (parameters.get("algorithm") or "MD5").upper()


def _has_auth(parameters: dict[str, str]) -> bool:
    qop = parameters.get("qop", "").lower()
    return not qop or "auth" in re.split(r"[,\s]+", qop)


def _quotable(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

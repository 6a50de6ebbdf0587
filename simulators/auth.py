"""What a camera asks of its callers: HTTP digest (RFC 7616; with MD5 as most cameras in the field, or SHA-256), HTTP
basic (RFC 7617) and WS-Security.

Decides only: the time is an argument, and nothing here touches a socket.
"""

import base64
import binascii
import enum
import hashlib
import hmac
import random
import re
from dataclasses import dataclass, field

_PAIR = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_NONCES_KEPT = 4096
WSSE_WINDOW_US = 300_000_000  # how far Created may be from the camera's clock


class Verdict(enum.Enum):
    """What became of a request's credentials."""

    OK = "ok"
    MISSING = "missing"
    STALE = "stale"
    WRONG = "wrong"


@dataclass(slots=True)
class Account:
    """The one user of a camera. An `username` of None asks nobody for credentials."""

    username: str | None
    password: str

    @property
    def open_to_all(self) -> bool:
        """Whether no credentials are asked for."""
        return self.username is None


@dataclass(slots=True)
class DigestGate:
    """HTTP authentication on the server's side, shared by RTSP and the SOAP endpoint.

    `nonce_lifetime_us` is how long a nonce is taken, None for as long as it is remembered. `schemes` are offered in
    this order, and each of them is taken: MD5 and SHA-256 (both digest) and basic.
    """

    account: Account
    realm: str
    draw: random.Random
    nonce_lifetime_us: int | None = None
    schemes: tuple[str, ...] = ("MD5",)
    _issued: dict[str, int] = field(default_factory=dict)

    def challenge(self, now_us: int, *, stale: bool = False) -> str:
        """The first WWW-Authenticate value, with a fresh nonce."""
        return self.challenges(now_us, stale=stale)[0]

    def challenges(self, now_us: int, *, stale: bool = False) -> tuple[str, ...]:
        """A WWW-Authenticate value for each scheme, with one fresh nonce."""
        nonce = self.draw.randbytes(16).hex()
        self._issued[nonce] = now_us
        while len(self._issued) > _NONCES_KEPT:
            del self._issued[next(iter(self._issued))]
        suffix = ", stale=true" if stale else ""
        return tuple(
            f'Basic realm="{self.realm}"'
            if scheme == "basic"
            else f'Digest realm="{self.realm}", qop="auth", nonce="{nonce}", algorithm={scheme}{suffix}'
            for scheme in self.schemes
        )

    def check(self, header: str | None, method: str, uri: str, now_us: int) -> Verdict:
        """Judge an Authorization header for this method and request URI; qop may be left out (RFC 2069 clients)."""
        if self.account.open_to_all:
            return Verdict.OK
        if header is None:
            return Verdict.MISSING
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == "basic" and "basic" in self.schemes:
            return self._check_basic(rest.strip())
        if scheme.lower() != "digest":
            return Verdict.WRONG
        return self._check_digest(rest, method, uri, now_us)

    def _check_basic(self, credentials: str) -> Verdict:
        wanted = base64.b64encode(f"{self.account.username}:{self.account.password}".encode()).decode()
        return Verdict.OK if hmac.compare_digest(wanted.encode(), credentials.encode()) else Verdict.WRONG

    def _check_digest(self, rest: str, method: str, uri: str, now_us: int) -> Verdict:
        given = {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(rest)}
        nonce, qop = given.get("nonce", ""), given.get("qop")
        if given.get("username") != self.account.username or given.get("realm") != self.realm:
            return Verdict.WRONG
        algorithm = given.get("algorithm", "MD5").upper()
        if qop not in (None, "auth") or algorithm not in self.schemes:
            return Verdict.WRONG
        digest = _HASHES[algorithm]
        a1 = digest(f"{self.account.username}:{self.realm}:{self.account.password}")
        a2 = digest(f"{method}:{uri}")  # of the URI that was requested: a header signed for another one does not fit
        middle = nonce if qop is None else f"{nonce}:{given.get('nc')}:{given.get('cnonce')}:{qop}"
        if not hmac.compare_digest(digest(f"{a1}:{middle}:{a2}"), given.get("response", "")):
            return Verdict.WRONG
        issued_us = self._issued.get(nonce)
        if issued_us is None:
            return Verdict.STALE
        if self.nonce_lifetime_us is not None and now_us - issued_us > self.nonce_lifetime_us:
            return Verdict.STALE
        return Verdict.OK


@dataclass(frozen=True, slots=True)
class UsernameToken:
    """A WS-Security UsernameToken as it arrived; `created_us` is None where Created is missing or unreadable."""

    username: str
    password_type: str
    password: str
    nonce: str
    created: str
    created_us: int | None


@dataclass(slots=True)
class TokenGate:
    """WS-Security UsernameToken profile 1.0 with PasswordDigest, each nonce once within the window."""

    account: Account
    _seen: dict[str, int] = field(default_factory=dict)

    def check(self, token: UsernameToken | None, camera_now_us: int) -> Verdict:
        """Judge a token against the camera's own clock."""
        if self.account.open_to_all:
            return Verdict.OK
        if token is None:
            return Verdict.MISSING
        if token.username != self.account.username or not token.password_type.endswith("#PasswordDigest"):
            return Verdict.WRONG
        if token.created_us is None or abs(token.created_us - camera_now_us) > WSSE_WINDOW_US:
            return Verdict.STALE
        try:
            nonce = base64.b64decode(token.nonce, validate=True)
        except binascii.Error:
            return Verdict.WRONG
        wanted = base64.b64encode(
            # The profile itself asks for SHA-1.
            hashlib.sha1(nonce + token.created.encode() + self.account.password.encode()).digest()
        ).decode()
        if not hmac.compare_digest(wanted, token.password):
            return Verdict.WRONG
        self._seen = {n: at for n, at in self._seen.items() if camera_now_us - at <= 2 * WSSE_WINDOW_US}
        if token.nonce in self._seen:
            return Verdict.STALE
        self._seen[token.nonce] = camera_now_us
        return Verdict.OK


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_HASHES = {"MD5": _md5, "SHA-256": _sha256}
# What `--auth` can ask for, and the schemes it means; `any` as cameras that leave the choice to the client.
AUTH_SCHEMES: dict[str, tuple[str, ...]] = {
    "digest": ("MD5",),
    "digest-sha256": ("SHA-256",),
    "basic": ("basic",),
    "any": ("SHA-256", "MD5", "basic"),
    "none": (),
}

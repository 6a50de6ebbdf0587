"""The key that signs the ledger's heads: made once, kept in the state folder, never leaves the box.

Its public half is published: as PEM for ordinary tools, and as a C2SP verifier key for transparency-log tools.
"""

import base64
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edged.base.errors import Fatal
from edged.base.files import replace_file
from edged.prove.verify_retention import Head, key_id, key_pem

PRIVATE, PUBLIC = "ledger-key.pem", "ledger-key.pub.pem"


class BadKey(Fatal):
    """The key that signs the ledger cannot be used."""

    code = "PRV-001"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """A signing key under the name of its log. `repr` shows the name alone."""

    origin: str
    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"LedgerKey({self.origin!r})"

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()

    @property
    def pem(self) -> str:
        """The public key, PEM."""
        return key_pem(self.public).decode()

    @property
    def id(self) -> str:
        """The key's id in signed notes: eight hex digits."""
        return key_id(self.origin, self.public).hex()

    @property
    def verifier(self) -> str:
        """The public key in one line, as C2SP signed-note verifiers take it: name+id+base64."""
        raw = self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"{self.origin}+{self.id}+{base64.b64encode(bytes([1]) + raw).decode()}"

    def sign(self, head: Head) -> str:
        """The head as a C2SP tlog-checkpoint: a note signed with Ed25519 (type 0x01)."""
        text = f"{head.origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"
        signature = key_id(self.origin, self.public) + self.private.sign(text.encode())
        return f"{text}\n\u2014 {self.origin} {base64.b64encode(signature).decode()}\n"


def origin_of(site: str, recorder: str) -> str:
    """The name of a recorder's ledger, in heads and as the key's name."""
    return f"edged/{site}/{recorder}"


def open_key(state_dir: Path, origin: str) -> LedgerKey:
    """The key in `state_dir`, made where there is none. Raises BadKey: a key is never silently replaced."""
    path = state_dir / PRIVATE
    try:
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            replace_file(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            raise BadKey(f"{PRIVATE} may be read by others", hint=f"chmod 600 {path}, and think about who has read it")
        private = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(private, Ed25519PrivateKey):
            raise BadKey(f"{PRIVATE} is not an Ed25519 key", hint="restore the one that edged made")
        key = LedgerKey(origin, private)
        if not (state_dir / PUBLIC).exists() or (state_dir / PUBLIC).read_text() != key.pem:
            replace_file(state_dir / PUBLIC, key.pem.encode(), mode=0o644)
    except OSError as error:
        raise BadKey(f"{PRIVATE} cannot be used ({error.strerror})", hint="check state_dir and its disk") from error
    except (ValueError, TypeError) as error:
        raise BadKey(
            f"{PRIVATE} is damaged", hint="restore it; without it heads signed so far cannot be continued"
        ) from error
    return key

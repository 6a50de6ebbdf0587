"""Tells the ledger when the configuration or the rule packs are others than at the last start.

A value of the configuration may be a password or an address, and a plain hash of it could be guessed. So values are
compared under a secret that stays in the index, and the ledger names only the keys that changed. Rule packs are public
law: their hashes stand in the ledger as they are.
"""

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from edged.archive import meta
from edged.archive.ledger import LedgerKind, append
from edged.base.files import canonical_json

_SECRET, _CONFIG, _RULES = "prove.secret", "prove.config", "prove.rules"  # meta


def record_changes(
    connection: sqlite3.Connection, config: BaseModel, packs: Mapping[str, bytes], now_us: int
) -> list[str]:
    """Append what is new since the last start, inside a write transaction; returns the keys and packs that changed.

    `packs` is the content of each rule pack by name.
    """
    secret = meta.read(connection, _SECRET)
    if secret is None:
        secret = secrets.token_hex(32)
        meta.write(connection, _SECRET, secret)
    values = {
        key: hmac.new(bytes.fromhex(secret), value, "sha256").hexdigest() for key, value in sorted(_values(config, ""))
    }
    rules = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(packs.items())}
    changed = []
    for name, now, kind in ((_CONFIG, values, LedgerKind.CONFIG_CHANGED), (_RULES, rules, LedgerKind.RULES_CHANGED)):
        told: dict[str, str] | None = meta.read_json(connection, name)
        before = told or {}
        if now == before:
            continue
        keys = sorted(key for key in {*now, *before} if now.get(key) != before.get(key))
        body: dict[str, Any] = {"sha256": hashlib.sha256(canonical_json(now)).hexdigest()}
        # At the first start everything is new, which says nothing.
        body |= {"first": True} if told is None else {"changed": keys}
        if kind is LedgerKind.RULES_CHANGED:
            body["packs"] = now
        append(connection, now_us, kind, body)
        meta.write_json(connection, name, now)
        changed += keys if told is not None else []
    return changed


def read_packs(folder: Path) -> dict[str, bytes]:
    """The rule packs in a folder, by name. Raises OSError."""
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.toml"))}


def _values(value: object, key: str) -> Iterator[tuple[str, bytes]]:
    """Every plain value below `value` under its dotted key; entries of a list go by their id where they have one."""
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from _values(getattr(value, name), f"{key}.{name}" if key else name)
        case tuple() | list():
            for number, one in enumerate(value):
                yield from _values(one, f"{key}[{getattr(one, 'id', number)}]")
            yield f"{key}[]", str(len(value)).encode()
        case SecretStr():
            yield key, value.get_secret_value().encode()
        case _:
            yield key, repr(value).encode()

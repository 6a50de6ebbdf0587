"""What the index remembers beside its tables: a text under a key each, which only its owner reads and writes.

Every function runs within the caller's transaction.
"""

import json
import sqlite3
from typing import Any


def read(connection: sqlite3.Connection, key: str) -> str | None:
    """What is remembered under `key`, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def write(connection: sqlite3.Connection, key: str, text: str) -> None:
    """Remember `text` under `key`, in the place of what was there."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, text),
    )


def read_json(connection: sqlite3.Connection, key: str) -> Any:
    """What `write_json` remembered under `key`, or None."""
    text = read(connection, key)
    return None if text is None else json.loads(text)


def write_json(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Remember a value under `key`, as JSON."""
    write(connection, key, json.dumps(value, sort_keys=True))


def forget(connection: sqlite3.Connection, key: str) -> None:
    """Remember nothing under `key` any more."""
    connection.execute("DELETE FROM meta WHERE key = ?", (key,))

"""What is configured otherwise than before: named in the ledger by its key, never by its value (I9)."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.archive.database import open_database, transact
from edged.config import Config
from edged.law.packs import shipped_packs
from edged.prove.changes import read_packs, record_changes

BASE: dict[str, Any] = {
    "site": {"id": "s", "jurisdiction": "jilin", "repair_unit": "r", "superior_department": "d"},
    "volume": [{"id": "v1", "path": "/nowhere/v1"}],
    "camera": [{"id": "cam-1", "url": "rtsp://192.0.2.1/a", "login": {"username": "operator", "password": "hunter2"}}],
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "index.db")
    yield connection
    connection.close()


def config(**camera: Any) -> Config:
    return Config.model_validate({**BASE, "camera": [{**BASE["camera"][0], **camera}]})


def told(connection: sqlite3.Connection) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, json.loads(body)) for kind, body in connection.execute("SELECT kind, body FROM ledger ORDER BY seq")]


def test_the_first_start_says_what_there_is_and_the_second_nothing(connection: sqlite3.Connection) -> None:
    packs = {"jilin": b"x"}
    assert transact(connection, record_changes, config(), packs, 5) == []
    assert transact(connection, record_changes, config(), packs, 6) == []
    assert [(kind, body["first"]) for kind, body in told(connection)] == [
        ("config_changed", True),
        ("rules_changed", True),
    ]


def test_i9_a_change_names_its_keys_and_no_value(connection: sqlite3.Connection) -> None:
    transact(connection, record_changes, config(), {}, 5)
    other = config(url="rtsp://192.0.2.2/a", login={"username": "operator", "password": "other secret"}, place="other")
    keys = transact(connection, record_changes, other, {}, 6)
    assert keys == ["camera[cam-1].login.password", "camera[cam-1].place", "camera[cam-1].url"]
    kind, body = told(connection)[-1]
    assert (kind, body["changed"]) == ("config_changed", keys)
    everything = "".join(connection.iterdump())
    for secret in ("hunter2", "other secret", "192.0.2.", "operator", "/nowhere"):
        assert secret not in everything


def test_a_value_cannot_be_guessed_from_the_ledger(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """The same configuration on two boxes gives different hashes: each keeps a secret of its own."""
    transact(connection, record_changes, config(), {}, 5)
    other = open_database(tmp_path / "other.db")
    transact(other, record_changes, config(), {}, 5)
    assert told(connection)[0][1]["sha256"] != told(other)[0][1]["sha256"]
    other.close()


def test_a_camera_taken_out_and_one_put_in(connection: sqlite3.Connection) -> None:
    transact(connection, record_changes, config(), {}, 5)
    keys = transact(connection, record_changes, config(id="cam-2"), {}, 6)
    assert "camera[cam-1].id" in keys
    assert "camera[cam-2].id" in keys


def test_rule_packs_go_by_the_hash_of_their_text(connection: sqlite3.Connection) -> None:
    packs = read_packs(shipped_packs())
    assert "jilin" in packs
    transact(connection, record_changes, config(), packs, 5)
    assert transact(connection, record_changes, config(), {**packs, "jilin": b"other"}, 6) == ["jilin"]
    kind, body = told(connection)[-1]
    assert (kind, body["changed"]) == ("rules_changed", ["jilin"])
    assert body["packs"]["jilin"] == "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"

"""The stored tree: whatever was appended, its roots and proofs are those of the entries' lines (I3)."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.archive import merkle, tree
from edged.archive.database import open_database, transact
from edged.archive.ledger import LedgerKind, append, entries, leaf_hash, lines
from edged.prove.verify_retention import Head, verify_consistency, verify_inclusion
from tests.unit.test_prove_merkle import naive_root

COUNT = 700  # past 256 + 256: three stored heights, a ragged edge at each


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path_factory.mktemp("tree") / "index.db")
    transact(connection, put_entries, COUNT)
    yield connection
    connection.close()


def put_entries(connection: sqlite3.Connection, count: int) -> None:
    for number in range(count):
        append(connection, number, LedgerKind.DAEMON_START, {"name": "käméra", "n": number})


def test_a_leaf_is_the_hash_of_the_entrys_line(connection: sqlite3.Connection) -> None:
    (entry,) = entries(connection, 6, 1)
    (line,) = lines(connection, 6, 1)
    assert line == '{"at_us":6,"body":{"n":6,"name":"käméra"},"kind":"daemon_start","seq":7}'.encode()
    assert entry.leaf == merkle.leaf_hash(line) == leaf_hash(7, 6, LedgerKind.DAEMON_START, entry.body)


@pytest.mark.parametrize("size", [*range(36), 255, 256, 257, 300, 511, 512, 513, 699, 700])
def test_roots_and_proofs_of_every_kind_of_size(connection: sqlite3.Connection, size: int) -> None:
    hashes = [merkle.leaf_hash(line) for line in lines(connection, 0, size)]
    assert tree.root(connection, size) == naive_root(hashes)
    head = Head("edged/test", size, naive_root(hashes))
    for index in {0, 1, 15, 16, 17, size // 2, size - 2, size - 1} & set(range(size)):
        assert verify_inclusion(hashes[index], index, tree.inclusion_proof(connection, index, size), head)
    for old in {0, 1, 15, 16, 17, size // 2, size - 1, size} & set(range(size + 1)):
        before = Head("edged/test", old, naive_root(hashes[:old]))
        assert verify_consistency(before, head, tree.consistency_proof(connection, old, size))


def test_a_root_the_ledger_never_had_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="no subtree"):
        tree.root(connection, COUNT + 1)


def test_an_entry_that_is_rolled_back_leaves_no_trace_in_the_tree(tmp_path: Path) -> None:
    """I3: entry, leaf and subtree are one transaction."""
    connection = open_database(tmp_path / "index.db")
    transact(connection, put_entries, 15)
    before = list(connection.iterdump())

    def fail(connection: sqlite3.Connection) -> None:
        append(connection, 0, LedgerKind.DAEMON_STOP, {})
        assert connection.execute("SELECT count(*) FROM ledger_node").fetchone()[0] == 1
        raise InterruptedError

    with pytest.raises(InterruptedError):
        transact(connection, fail)
    assert list(connection.iterdump()) == before
    connection.close()


def test_a_proof_reads_few_rows(tmp_path: Path) -> None:
    """The number of hashes looked at grows with the logarithm of the size, not with the size."""
    connection = open_database(tmp_path / "index.db")
    transact(connection, put_entries, 4096 + 300)
    read = 0

    def count(statement: str) -> None:
        nonlocal read
        read += 1

    connection.set_trace_callback(count)
    tree.inclusion_proof(connection, 2000, 4396)
    connection.set_trace_callback(None)
    assert read <= 30, "statements; each reads at most eight hashes"
    connection.close()

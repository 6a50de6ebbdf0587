"""The one connection that does all writes and all checkpoints, on a thread of its own.

Why one: SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when two connections write or checkpoint at the same
instant. Readers inside the controller use the same thread; nobody else opens the file while the controller runs.
"""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edged.archive.guards import TablesDiffer, put_back_guards
from edged.archive.schema import STEPS
from edged.base.errors import Fatal, TryAgain
from edged.base.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

APPLICATION_ID = 0x65646764  # "edgd"

# So many pages of the write-ahead log are there when a commit folds them into the index, which everyone else waits for.
# Scattered pages are synced in 2 to 7 ms where they are a hundred, 8 to 10 where 250, and 50 to 80 where 1000, as is
# SQLite's default.
FOLD_AT = 150
# Where much is entered at once most pages change again and again: folded seldom, they are written once.
FOLD_AT_IN_BULK = 4000

log = logging.getLogger(__name__)

_REBUILD = "edged archive rebuild makes a new one from the volumes and keeps this one beside it"
_CANNOT_REACH = "check that no other edged runs, that state_dir exists and may be written, and that its disk has room"


class BadDatabase(Fatal):
    """The index cannot be used as it is."""

    code = "ARC-001"


class IndexFull(TryAgain):
    """The disk of the index is full: nothing of this call was done, and it may be made again."""

    code = "ARC-002"
    hint = "free space on the disk of state_dir; recording goes on, and the index catches up by itself"


class IndexLost(Fatal):
    """The disk of the index fails, is read-only or has gone; what is open of it is of no use any more."""

    code = "ARC-003"
    hint = (
        "see to the disk of state_dir and to the owner of the index; recording goes on, and the index catches up when"
        " it can be opened again"
    )


# Growing the shared memory of a WAL database on a full disk is an I/O error to SQLite.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_LOST = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}  # primary codes


def open_database(path: Path, put_back: list[str] | None = None) -> sqlite3.Connection:
    """Open or create the index at `path` and bring its schema up to date, each step in one transaction.

    `put_back` receives the names of guards that were not as they must be (see archive.guards). Raises BadDatabase where
    the file is not edged's, is damaged, was written by a newer edged, or has other tables.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise BadDatabase(f"{path.name} cannot be opened ({error})", hint=_CANNOT_REACH) from error
    connection.row_factory = sqlite3.Row
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise BadDatabase(f"{path.name} is not an index of edged", hint="move it away or correct state_dir")
        if version > len(STEPS):
            raise BadDatabase(
                f"{path.name} has schema {version}, this edged knows up to {len(STEPS)}",
                hint="run the newer edged that wrote it",
            )
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;"
            # recursive_triggers: without it, REPLACE deletes rows past the delete guards (see schema_once).
            "PRAGMA trusted_schema=OFF; PRAGMA recursive_triggers=ON; PRAGMA journal_size_limit=67108864;"
            f"PRAGMA cache_size=-32768; PRAGMA wal_autocheckpoint={FOLD_AT};"
        )
        for number, step in enumerate(STEPS[version:], start=version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION_ID};{step}; PRAGMA user_version={number}; COMMIT;"
            )
        changed = keep_guards(connection)
        if put_back is not None:
            put_back += changed
    except sqlite3.OperationalError as error:
        # Locked, no space, no permission: the file may be sound, so nobody is told to move it away.
        connection.close()
        raise BadDatabase(f"{path.name} cannot be used ({error})", hint=_CANNOT_REACH) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise BadDatabase(
            f"{path.name} cannot be opened as a database ({error})",
            hint=_REBUILD,
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def keep_guards(connection: sqlite3.Connection) -> list[str]:
    """Compare guards and tables with the schema; returns the guards that had to be put back (see archive.guards).

    Raises BadDatabase where a table is another one.
    """
    try:
        changed = put_back_guards(connection, STEPS)
    except TablesDiffer as error:
        raise BadDatabase(f"the index has another {error} than this edged makes", hint=_REBUILD) from error
    if changed:
        log.critical("guards of the index were dropped or changed and are put back: %s", ", ".join(changed))
    return changed


class Database:
    """Hands the connection to one call at a time. `write` is one transaction; `read` sees a stable state."""

    def __init__(self, path: Path) -> None:
        self.guards_put_back: list[str] = []  # at this start; for the ledger
        self._connection = open_database(path, self.guards_put_back)
        self._worker = Worker("index")
        self.full = False  # the last write found no room
        self._bulks = 0  # how many have much to enter

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `query(connection, ...)` on the database's thread. Raises IndexLost."""

        def ask() -> T:
            with _disk_trouble():
                return query(self._connection, *args, **kwargs)

        return await self._worker.run(ask)

    async def write(self, act: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act(connection, ...)` as one transaction: all of it is durable when this returns, or none of it is.

        Raises IndexFull, IndexLost.
        """

        def change() -> T:
            with _disk_trouble():
                return transact(self._connection, act, *args, **kwargs)

        try:
            result = await self._worker.run(change)
        except IndexFull:
            self.full = True
            raise
        self.full = False
        return result

    @asynccontextmanager
    async def in_bulk(self) -> AsyncIterator[None]:
        """While much is entered: changed pages are folded into the index seldom, and what is left at the end."""
        self._bulks += 1
        try:
            await self.read(_fold_at, FOLD_AT_IN_BULK)
            yield
        finally:
            self._bulks -= 1
            if not self._bulks:
                await self.read(_fold_at, FOLD_AT)

    def close(self) -> None:
        """Finish the calls already waiting, then close the file."""
        self._worker.submit(self._connection.close)
        self._worker.shutdown()


def transact(
    connection: sqlite3.Connection,
    act: Callable[Concatenate[sqlite3.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run `act` between BEGIN IMMEDIATE and COMMIT; what it raises, or a COMMIT that fails, rolls all of it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = act(connection, *args, **kwargs)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after a full disk or an I/O error SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise
    return result


def _fold_at(connection: sqlite3.Connection, pages: int) -> None:
    """Have a commit fold the write-ahead log into the index once it has so many pages; at once where it has them."""
    connection.execute(f"PRAGMA wal_autocheckpoint={pages}")
    if pages == FOLD_AT:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


@contextmanager
def _disk_trouble() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in _FULL:
            raise IndexFull("the disk of the index is full") from error
        if error.sqlite_errorcode & 0xFF in _LOST:
            raise IndexLost(f"the disk of the index fails ({error})") from error
        raise

"""Whether an index still has the tables and the guards that the schema gives it; what was taken out is put back.

The triggers are the second line of defence (I1, I2, I3, I5, I10). Whoever can write the file can drop them; so they
are compared with those of a new index at every start and before every pass of the sweep, and that they were not there
is told to the ledger. What was done meanwhile shows where the index is compared with the volumes: all of it is again.
"""

import functools
import sqlite3
from collections.abc import Sequence


class TablesDiffer(Exception):
    """Carries the name of a table or index that is not the schema's."""


def put_back_guards(connection: sqlite3.Connection, steps: Sequence[str]) -> list[str]:
    """Make the triggers those of the schema again, in one transaction of its own; returns the names of the others.

    A trigger that the schema does not know is dropped: it could undo what a guard allows. Raises TablesDiffer.
    """
    wanted, found = _fresh(tuple(steps)), _content(connection)
    for kind in ("table", "index"):
        for (each, name), text in wanted.items():
            if each == kind and found.get((each, name)) != text:
                raise TablesDiffer(name)
    triggers = {key for key in {*wanted, *found} if key[0] == "trigger" and wanted.get(key) != found.get(key)}
    names = sorted(name for _, name in triggers)
    if names:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for key in sorted(triggers):
                if key in found:
                    connection.execute(f'DROP TRIGGER "{key[1].replace(chr(34), chr(34) * 2)}"')
                if key in wanted:
                    connection.execute(wanted[key])
            connection.execute("DELETE FROM compared")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return names


@functools.cache
def _fresh(steps: tuple[str, ...]) -> dict[tuple[str, str], str]:
    fresh = sqlite3.connect(":memory:")
    try:
        for step in steps:
            fresh.executescript(step)
        return _content(fresh)
    finally:
        fresh.close()


def _content(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    )
    return {(kind, name): text for kind, name, text in rows}

"""A life told again is the same life: no thread, no real clock and no folder's order has a part in it.

Without that a failure could not be made smaller, or be shown to whoever is to mend it.
"""

import itertools
import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.deep import examples
from tests.state.controller import index_of
from tests.state.machine import Box
from tests.state.world import DISKS

# Drawn anew by every box, and of no consequence: volumes' names for themselves, keys, and what is signed or hashed.
DRAWN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DRAWN_TABLES = ("ledger_node", "ledger_checkpoint", "outbox")


@pytest.mark.hypothesis
def test_what_is_drawn_twice_happens_twice() -> None:
    first, second = lives(examples(10)), lives(examples(10))
    for step, (once, again) in enumerate(itertools.zip_longest(first, second)):
        assert once == again, f"after {step} steps of all lives together"
    assert len(first) > 100


def lives(count: int) -> list[list[str]]:
    """What there was after every step of the same `count` lives."""
    told: list[list[str]] = []

    class Told(Box):
        @invariant()
        def tell(self) -> None:
            told.append(list(all_there_is(self)))

    run_state_machine_as_test(
        Told,
        settings=settings(
            max_examples=count,
            stateful_step_count=45,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    return told


def all_there_is(box: Box) -> Iterator[str]:
    yield f"{box.is_up()} {box.world.clock.wall_us()} {box.world.true_us} {sorted(box.reached.items())}"
    for footage in box.world.footage:
        yield f"{footage.key} {footage.gone} {footage.linked} {footage.floor_days}"
    for disk in DISKS:
        own = box.world.own(disk)
        for path in sorted(own.rglob("*")):
            yield f"{path.relative_to(own)} {path.stat().st_size if path.is_file() else 'folder'}"
    connection = sqlite3.connect(index_of(box.world))
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table not in DRAWN_TABLES:
                for row in connection.execute(f"SELECT * FROM {table}"):
                    values = (f"{len(value)} bytes" if isinstance(value, bytes) else str(value) for value in row)
                    yield DRAWN.sub("drawn", f"{table} {' | '.join(values)}")
    finally:
        connection.close()

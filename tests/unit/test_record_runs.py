"""The run counter: a number that no two runs ever share, whatever happens to its file."""

import shutil
from pathlib import Path

import pytest

from edged.base.clock import ManualClock
from edged.record.disk.runs import BLOCK, RunCounter
from edged.record.engine import Engine


def test_no_run_is_ever_given_twice(tmp_path: Path) -> None:
    given = []
    for _ in range(3):
        counter = RunCounter(tmp_path / "run")
        given += [counter.take() for _ in range(BLOCK + 3)]
    assert len(set(given)) == len(given)
    assert given == sorted(given)


def test_a_state_folder_that_fills_up_later_does_not_stop_runs(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    counter = RunCounter(folder / "run")
    shutil.rmtree(folder)
    assert [counter.take() for _ in range(2 * BLOCK)] == list(range(1, 2 * BLOCK + 1))


def test_a_damaged_run_counter_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("what?")
    with pytest.raises(Exception, match="run counter"):
        RunCounter(tmp_path / "run")


def test_no_run_that_a_volume_knows_is_given_again(tmp_path: Path) -> None:
    counter = RunCounter(tmp_path / "run")
    counter.known(500)
    assert counter.least == 501
    assert counter.take() == 501
    counter.known(400)
    assert (counter.least, counter.take()) == (501, 502)
    assert RunCounter(tmp_path / "run").take() > 502


def test_what_begins_after_a_volume_told_of_later_runs_has_a_later_one(tmp_path: Path) -> None:
    counter = RunCounter(tmp_path / "run")
    engine = Engine(ManualClock(), counter)
    engine.tick()
    assert engine.run == 1
    counter.known(500)
    engine.tick()
    assert engine.run == 501
    engine.tick()
    assert engine.run == 501

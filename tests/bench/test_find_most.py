"""The search for the most cameras, on machines that are numbers."""

from tests.bench.recorder_max import TRIAL_SECONDS, Trial, find_most, name_limit


class Machine:
    """Records so many cameras whole, fewer when it has to hold them for long."""

    def __init__(self, short: int, long: int) -> None:
        self.short, self.long = short, long
        self.asked: list[tuple[int, float]] = []

    def attempt(self, cameras: int, seconds: float) -> Trial:
        self.asked.append((cameras, seconds))
        fits = self.short if seconds <= TRIAL_SECONDS else self.long
        return Trial(cameras, "" if cameras <= fits else "lost a packet")


def test_it_finds_the_highest_number_to_within_a_step() -> None:
    machine = Machine(203, 203)
    best, bad = find_most(machine.attempt, 32, 512, 60)
    assert best is not None
    assert bad is not None
    assert 203 - 8 < best.cameras <= 203 < bad.cameras <= best.cameras + 16
    assert machine.asked[-1] == (best.cameras, 60), "what is reported was held for the full time"


def test_what_a_short_trial_holds_and_a_long_one_does_not_is_not_reported() -> None:
    best, bad = find_most(Machine(203, 150).attempt, 32, 512, 60)
    assert best is not None
    assert bad is not None
    assert 125 < best.cameras <= 150 < bad.cameras


def test_it_stops_where_it_was_told_to() -> None:
    machine = Machine(10_000, 10_000)
    best, bad = find_most(machine.attempt, 32, 300, 60)
    assert best is not None
    assert (best.cameras, bad) == (256, None)
    assert "--most" in name_limit(bad, 2)


def test_a_machine_that_holds_nothing_is_said_to_hold_nothing() -> None:
    best, bad = find_most(Machine(0, 0).attempt, 32, 512, 60)
    assert best is None
    assert bad is not None


def test_the_limit_is_named_by_what_was_busy() -> None:
    assert "event loop, which is one thread" in name_limit(Trial(9, "x", recorder_thread=0.97), 2)
    assert "cameras' own" in name_limit(Trial(9, "x", fleet_process=0.97), 2)
    assert "2 cores" in name_limit(Trial(9, "x", machine=1.95), 2)
    assert "queue" in name_limit(Trial(9, "edged journalled 3 x loss (disk)"), 2)
    assert "socket buffer" in name_limit(Trial(9, "x"), 2)

"""What people do: holds, their release, cameras removed and adopted again."""

import asyncio
import sqlite3

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from edged.archive import roster
from edged.base.clock import HOUR
from edged.base.errors import Refused
from edged.base.spans import Span
from edged.retain.holds import HoldExtension, HoldRequest
from tests.state.controller import index_of
from tests.state.happenings import Happenings
from tests.state.life import Life, cameras, people, steps
from tests.state.oracle import HeldTruth

# What nobody may do to an index of which he has the file.
MEDDLING = (
    "UPDATE ledger SET body = '{}'",
    "DELETE FROM ledger",
    "UPDATE ledger_node SET hash = zeroblob(32)",
    "DELETE FROM ledger_checkpoint",
    "UPDATE retention_clock SET retention_us = retention_us - 1",
    "UPDATE segment SET keep_until_us = keep_until_us - 1",
    "UPDATE segment SET state = 2 WHERE keep_until_us > (SELECT retention_us FROM retention_clock)",
    "DELETE FROM segment WHERE state <> 2",
    "DELETE FROM hold",
    "DELETE FROM hold_camera",
    "UPDATE hold SET end_us = start_us + 1 WHERE end_us IS NULL OR end_us > start_us + 1",
    "UPDATE hold SET release1_by = 'x', release1_us = 1, release2_by = 'y', released_us = 1 WHERE released_us IS NULL",
)


class People(Happenings):
    """Officers with letters, and an operator who must not get past them."""

    # --- people -----------------------------------------------------------------------------------------------------

    @precondition(Life.is_up)
    @rule(
        named=st.sets(cameras, min_size=1),
        start=st.integers(0, 40 * 24),
        length=st.none() | st.integers(1, 20 * 24),
        during=st.none() | steps,
    )
    def hold(self, named: set[str], start: int, length: int | None, during: int | None) -> None:
        """From so many hours ago, for so many; `during` a pass where that is a number: then at one of its steps."""
        begin = max(0, self.world.clock.wall_us() - start * HOUR)
        end = None if length is None else begin + length * HOUR
        request = HoldRequest(
            cameras=tuple(sorted(named)),
            start_us=begin,
            end_us=end,
            case="case-1",
            authority="authority-1",
            document="letter-1",
            placed_by="ann",
        )

        async def place() -> None:
            try:
                placed = await self.up.holds.place(request)
            except Refused:
                return
            self.oracle.holds.append(HeldTruth(placed.id, set(named), Span(begin, end or 1 << 60)))
            self.reached["hold placed"] += 1

        async def in_the_midst() -> None:
            loop = asyncio.get_running_loop()
            placing: list[asyncio.Task[None]] = []

            def begin_placing() -> None:  # perhaps on a volume's thread, which goes on when this waits for it
                self.turns.aside(lambda: placing.append(loop.create_task(place())))

            self.step.at(during or 0, begin_placing)
            await self.up.one_pass()
            self.step.never()
            if not placing:
                await asyncio.sleep(0)
            for task in placing:
                await task
                self.reached["hold placed during a pass"] += 1

        if during is None:
            self.run(place())
        else:
            self.oracle.pass_begins()
            self.run(in_the_midst())

    @precondition(Life.is_up)
    @rule(number=st.integers(0, 10**6), earlier=st.integers(0, 10 * 24), later=st.none() | st.integers(0, 10 * 24))
    def extend(self, number: int, earlier: int, later: int | None) -> None:
        if not self.oracle.holds:
            return
        held = self.oracle.holds[number % len(self.oracle.holds)]
        begin = max(0, held.span.start_us - earlier * HOUR)
        open_end = later is None or held.span.end_us == 1 << 60
        end = None if open_end else held.span.end_us + (later or 0) * HOUR
        more = HoldExtension(start_us=begin, end_us=end, open_end=open_end, document="letter-2", by="ann")
        try:
            self.run(self.up.holds.extend(held.id, more))
        except Refused:
            return
        held.span = Span(begin, end or 1 << 60)
        self.reached["hold extended"] += 1

    @precondition(Life.is_up)
    @rule(number=st.integers(0, 10**6), by=people)
    def release(self, number: int, by: str) -> None:
        mine = [held for held in self.oracle.holds if not held.released]
        if not mine:
            return
        held, who = mine[number % len(mine)], by.strip().lower()
        try:
            found = self.run(self.up.holds.release(held.id, by))
        except Refused:
            assert held.first == who, f"{who} may release {held.id}, {held.first} did before"
            self.reached["release refused"] += 1
            return
        if not held.first:
            assert found.released_us is None, "I2: one person has released a hold"
            held.first = who
        else:
            assert held.first != who, "I2: one person has released a hold twice"
            held.released = True
            self.reached["hold released"] += 1

    @precondition(Life.is_up)
    @rule()
    def links_follow(self) -> None:
        self.run(self.up.evidence.keep_step())

    @precondition(Life.is_up)
    @rule(camera=cameras)
    def camera_is_removed(self, camera: str) -> None:
        held = any(camera in hold.cameras and not hold.released for hold in self.oracle.holds)
        try:
            self.run(self.up.database.write(roster.remove, camera, self.world.clock.wall_us(), "ann"))
        except Refused:
            self.reached["removal refused"] += 1
            return
        assert not held or camera not in self.world.configured, f"I2: {camera} is held and was removed"
        self.world.configured.discard(camera)
        self.reached["camera removed"] += 1

    @precondition(Life.is_up)
    @rule(camera=cameras)
    def camera_is_adopted_again(self, camera: str) -> None:
        try:
            self.run(self.up.database.write(roster.adopt, camera, self.world.clock.wall_us(), "ann"))
        except Refused:
            return
        self.world.configured.add(camera)

    @precondition(Life.is_up)
    @rule(statement=st.sampled_from(MEDDLING))
    def somebody_writes_into_the_index(self, statement: str) -> None:
        """By a connection of his own, with none of the settings that edged gives to its own."""
        connection = sqlite3.connect(index_of(self.world))
        try:
            with connection:
                changed = connection.execute(statement).rowcount
        except sqlite3.IntegrityError:
            self.reached["meddling refused"] += 1
            return
        finally:
            connection.close()
        assert changed == 0, f"somebody could {statement}"

"""Any order of losses, returns, crashes, stalls, clock steps and entries: what must hold of outages holds (I5)."""

import asyncio
import collections
import contextlib
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edged.base.errors import Refused
from edged.model import Cause
from edged.outage.duties import Addressee, Outage
from edged.outage.lifecycle import State
from tests.deep import DEEP, examples
from tests.outage_site import Site

CAMERAS = ("cam-a", "cam-b", "cam-c")
camera = st.sampled_from(CAMERAS)
seconds = st.integers(1, 15)


class Outages(RuleBasedStateMachine):
    """A site that anything may happen to."""

    @initialize()
    def begin(self) -> None:
        logging.getLogger("edged.outage").setLevel(logging.ERROR)
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="edged-outage-"))
        self.site: Site = self.runner.run(Site(self.folder).open(CAMERAS))
        self.first: dict[str, Outage] = {}

    def teardown(self) -> None:
        self.site.database.close()
        self.runner.close()
        shutil.rmtree(self.folder)

    def entered(self, request: Any) -> None:
        with contextlib.suppress(Refused):
            self.runner.run(request)

    @rule(times=seconds)
    def watched(self, times: int) -> None:
        self.runner.run(self.site.second(times))

    @rule(away=st.integers(0, 20_000))
    def stalled(self, away: int) -> None:
        self.site.pass_unwatched(away)

    @rule(away=st.integers(0, 20_000))
    def crashed(self, away: int) -> None:
        self.runner.run(self.site.crash(away=away))

    @rule(camera=camera, cause=st.sampled_from([Cause.UNREACHABLE, Cause.CREDENTIALS]))
    def lost(self, camera: str, cause: Cause) -> None:
        self.site.lose(camera, cause=cause)

    @rule(camera=camera)
    def back(self, camera: str) -> None:
        if not self.site.feeds[camera].live:
            self.site.bring_back(camera)

    @rule()
    def recorder_dies(self) -> None:
        self.site.recorder_alive = False

    @precondition(lambda self: not self.site.recorder_alive)
    @rule()
    def recorder_back(self) -> None:
        self.site.recorder_alive = True
        for name, feed in self.site.feeds.items():
            feed.committed_us = None
            if feed.live:
                self.site.bring_back(name)

    @rule(step=st.integers(-100_000, 100_000))
    def clock_stepped(self, step: int) -> None:
        self.site.clock.step_wall(step)

    @rule(data=st.data(), addressee=st.sampled_from(list(Addressee)), by=st.sampled_from(["person one", " "]))
    def reported(self, data: st.DataObject, addressee: Addressee, by: str) -> None:
        self.entered(self.site.desk.report(self.any_outage(data), addressee, by))

    @rule(data=st.data())
    def attended(self, data: st.DataObject) -> None:
        self.entered(self.site.desk.attended(self.any_outage(data), "person two"))

    @rule(data=st.data())
    def restored(self, data: st.DataObject) -> None:
        self.entered(self.site.desk.restored(self.any_outage(data), "person three"))

    def any_outage(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.first) or ["none-such"]))

    @rule()
    def left_alone(self) -> None:
        """After a quiet minute the open outages are exactly the feeds that are lost."""
        self.runner.run(self.site.second(60))
        lost = {name for name, feed in self.site.feeds.items() if not (feed.live and self.site.recorder_alive)}
        assert {incident.outage.camera for incident in self.site.desk.open_incidents()} == lost

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "site"):
            return
        found = [incident.outage for incident in self.runner.run(self.site.desk.incidents(open_only=False))]
        still_open = [outage.camera for outage in found if outage.closed_us is None]
        assert len(still_open) == len(set(still_open)), "two open outages of one stream"
        for outage in found:
            first = self.first.setdefault(outage.id, outage)
            for fixed in ("camera", "t0_us", "opened_us", "report_due_us", "attend_within_us", "cause"):
                assert getattr(outage, fixed) == getattr(first, fixed), fixed
            if first.attend_due_us is not None:
                assert outage.attend_due_us == first.attend_due_us
            elif outage.attend_due_us is not None:
                self.first[outage.id] = outage
            assert outage.t0_us <= outage.opened_us
            assert outage.restored_us is None or outage.restored_us >= outage.t0_us
            assert (outage.state is State.CLOSED) == (outage.closed_us is not None)
            assert (outage.state is State.REPORTED) <= outage.both_reported
            assert len({receipt.addressee for receipt in outage.reports}) == len(outage.reports) <= 2
        assert set(self.first) <= {outage.id for outage in found}, "an outage is gone"
        kinds = collections.Counter(
            (entry.kind.value, entry.body["outage"]) for entry in self.runner.run(self.site.ledger())
        )
        for outage in found:
            assert kinds["outage_opened", outage.id] == 1
            assert kinds["outage_closed", outage.id] == int(outage.closed_us is not None)
        assert len(self.site.told) == len(self.runner.run(self.site.messages()))


Outages.TestCase.settings = settings(
    max_examples=examples(40),
    stateful_step_count=30,
    deadline=None,
    derandomize=not DEEP,
    suppress_health_check=[HealthCheck.too_slow],
)
TestOutages = Outages.TestCase

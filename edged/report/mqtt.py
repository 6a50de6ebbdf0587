"""Keeps one broker informed, at least once and in order, and never keeps anybody else waiting.

Every connection is a `Session` with a ``bd_seq`` of its own. While it speaks it races the connection's end, so that a
dead link is noticed at once and not at the next timeout; then it is repeated with back-off.

Nobody awaits this part. Recording, outages and retention enqueue in their own transactions (`archive.outbox`) and may
call `wake`; a broker that is away, hung or hostile costs them nothing. For the same reason it is no vital task: the
watchdog does not ask for its progress.
"""

import asyncio
import logging
from collections.abc import Callable

import aiomqtt

from edged.archive import outbox
from edged.archive.database import Database
from edged.base.clock import Clock
from edged.base.errors import OwnerMustAct, TryAgain
from edged.base.tasks import Backoff, cancel, spawn, supervise
from edged.config.records import MqttConfig
from edged.report import messages
from edged.report.health import Snapshot, birth_document
from edged.report.link import V5, V311, Link, OtherVersion
from edged.report.session import Session, Tally, own_id

log = logging.getLogger(__name__)


class MqttReporter:
    """`run` is a task of the house; everything else may be called at any time from the event loop."""

    def __init__(
        self,
        config: MqttConfig,
        *,
        site: str,
        recorder: str,
        database: Database,
        clock: Clock,
        snapshot: Callable[[], Snapshot],
        timeout: float = 5.0,
        will_delay_seconds: int = 5,
        longest_wait: float = 15.0,
    ) -> None:
        """`snapshot` gives what the birth tells; `timeout` in seconds bounds every wait for the broker.

        `will_delay_seconds` keeps a short network blip from looking like a death (MQTT 5 only); `longest_wait` bounds
        the back-off between connections, in seconds.
        """
        self._config = config
        self._client_id = f"edged-{site}-{recorder}"
        self._base = messages.base_topic(site, recorder)
        self._database = database
        self._clock = clock
        self._snapshot = snapshot
        self._timeout = timeout
        self._will_delay_seconds = will_delay_seconds
        self._backoff = Backoff(first=0.5, longest=longest_wait)
        self._version: aiomqtt.ProtocolVersion | None = None  # None: to be asked
        self._reached = False  # whether the last try got as far as a connection
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self.tally = Tally()

    def wake(self) -> None:
        """Say that something was queued; optional, it only saves up to half a second."""
        self._news.set()

    def stop(self) -> None:
        """Ask `run` to end in order: deliver what waits, say ``stopped``, disconnect."""
        self._stopping.set()
        self._news.set()

    async def run(self) -> None:
        """Keep a session up until `stop`; raises only for bugs. Cancelled, it ends at once and the will speaks."""
        sessions = spawn(
            "mqtt-sessions", supervise("mqtt", self._session, self._clock, backoff=self._backoff, healthy_after=10)
        )
        stop = spawn("mqtt-stop", _wait(self._stopping))
        try:
            await asyncio.wait({sessions, stop}, return_when=asyncio.FIRST_COMPLETED)
            if self.tally.connected:
                # The last of the outbox, the farewell, the DISCONNECT: each is bounded by the timeout.
                await asyncio.wait({sessions}, timeout=3 * self._timeout)
            if sessions.done():
                await sessions
        finally:
            await cancel(sessions, stop)

    async def _session(self) -> None:
        try:
            if self._version is None:
                self._version = await self._probe()
            await self._connect_and_speak(self._version)
        except (TryAgain, OwnerMustAct):
            if not self._reached:
                self._version = None  # perhaps another broker comes back in its place
            raise

    async def _probe(self) -> aiomqtt.ProtocolVersion:
        """The newest MQTT version the broker speaks: 5 or 3.1.1.

        Asked without will and properties, because a broker of 3.1.1 may misread these in the CONNECT of 5 and wait for
        more of it instead of refusing (amqtt 0.12 does).
        """
        try:
            async with self._link(V5, will=None):
                return V5
        except OtherVersion:
            log.info("the broker does not speak MQTT 5; going on with 3.1.1")
            return V311

    def _link(self, version: aiomqtt.ProtocolVersion, will: tuple[str, str] | None) -> Link:
        return Link(
            self._config,
            client_id=self._client_id,
            version=version,
            will=will,
            will_delay_seconds=self._will_delay_seconds,
            timeout=self._timeout,
        )

    async def _connect_and_speak(self, version: aiomqtt.ProtocolVersion) -> None:
        self._reached = False
        begun = await self._database.write(outbox.next_session)
        death = messages.payload(
            "death",
            {"reason": "lost"},
            message_id=own_id(begun, "death"),
            bd_seq=begun.bd_seq,
            seq=0,
            at_us=self._clock.wall_us(),
            boot_id=self._clock.boot_id(),
        )
        link = self._link(version, will=(f"{self._base}/death", death))
        session = Session(
            link,
            begun=begun,
            base=self._base,
            database=self._database,
            clock=self._clock,
            tally=self.tally,
            timeout=self._timeout,
        )
        async with link:
            self._reached = self.tally.connected = True
            try:
                await self._race(link, session)
            finally:
                self.tally.connected = False

    async def _race(self, link: Link, session: Session) -> None:
        speak = spawn("mqtt-speak", session.speak(lambda: birth_document(self._snapshot()), self._news, self._stopping))
        gone = spawn("mqtt-gone", link.wait_until_gone())
        try:
            done, _ = await asyncio.wait({speak, gone}, return_when=asyncio.FIRST_COMPLETED)
            await (speak if speak in done else gone)
        finally:
            # A dying link ends both; the second error says the same as the first and is only fetched.
            speak.cancel()
            gone.cancel()
            await asyncio.gather(speak, gone, return_exceptions=True)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()

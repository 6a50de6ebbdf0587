"""What one connection to the broker says, in which order, and what it does about the answers.

Birth (``seq`` 1; the death left as will is 0) → every topic's last delivered message again, because a broker may have
forgotten or remembered too much → the outbox, oldest first → whatever is queued from then on → ``death`` with the
reason ``stopped`` where the end is in order.

A row leaves the outbox after its PUBACK. A message the broker refuses (access rules, quota) stays, does not hold up
the others, and is offered again after a minute.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edged.archive import outbox
from edged.archive.database import Database
from edged.base.clock import SECOND, Clock
from edged.report import messages
from edged.report.link import BrokerUnreachable, Link

log = logging.getLogger(__name__)

BATCH = 200  # rows read, and removed, at once
POLL_SECONDS = 0.5  # how soon a message is seen whose author did not wake the reporter
RETRY_REFUSED_SECONDS = 60.0  # until messages the broker refused are offered again
REFUSED_FROM = 0x80  # MQTT 5 section 2.4: reason codes from here on are failures
MANY = 10_000  # waiting messages worth a warning: only events pile up, and only the disk bounds them


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message about to be sent; `row` is its number in the outbox where it waits there."""

    topic: str
    body: Mapping[str, object]
    id: str
    at_us: int
    historical: bool = False
    row: int | None = None


@dataclass(slots=True)
class Tally:
    """What the reporter shows about itself: numbers for health and metrics."""

    connected: bool = False
    waiting: int = 0  # messages in the outbox when last looked
    published: int = 0  # acknowledged by the broker since start
    refused: int = 0  # not taken by the broker since start


class Session:
    """Speaks over one entered `Link` until told to stop."""

    def __init__(
        self,
        link: Link,
        *,
        begun: outbox.Session,
        base: str,
        database: Database,
        clock: Clock,
        tally: Tally,
        timeout: float,
    ) -> None:
        self._link = link
        self._begun = begun
        self._base = base
        self._database = database
        self._clock = clock
        self._tally = tally
        self._timeout = timeout
        self._seq = 0  # of the message sent last; the will has 0
        self._historical_to = 0  # messages with numbers up to this waited for the broker
        self._cursor = 0  # rows up to this were offered on this connection
        self._refused_us: int | None = None
        self._complained: set[tuple[str, int]] = set()

    async def speak(
        self, birth: Callable[[], Mapping[str, object]], news: asyncio.Event, stopping: asyncio.Event
    ) -> None:
        """Say everything, then whatever comes, until `stopping`. Raises BrokerUnreachable when answers stay away.

        `birth` is asked again with every piece of news: a camera adopted since is announced by another birth of the
        same connection, as a rebirth in Sparkplug B.
        """
        self._historical_to = await self._database.read(outbox.newest)
        announced = birth()
        await self._publish([self._about_itself("birth", announced)])
        kept = await self._database.write(outbox.retained, self._clock.wall_us())
        await self._publish(
            [
                Outgoing(topic=m.topic, body=m.body, id=m.id, at_us=m.created_us)
                for m in kept
                if messages.topic_allowed(m.topic)
            ]
        )
        while not stopping.is_set():
            if news.is_set():
                news.clear()
                if (now := birth()) != announced:
                    announced = now
                    await self._publish([self._about_itself("birth", announced)])
            await self._drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await news.wait()
        with contextlib.suppress(TimeoutError):  # what does not get out in time is told after the next start
            async with asyncio.timeout(self._timeout):
                await self._drain()
        await self._publish([self._about_itself("death", {"reason": "stopped"})])

    def _about_itself(self, topic: str, body: Mapping[str, object]) -> Outgoing:
        number = own_id(self._begun, topic)
        if topic == "birth" and self._seq:
            number += f"-{self._seq}"
        return Outgoing(topic=topic, body=body, id=number, at_us=self._clock.wall_us())

    async def _drain(self) -> None:
        now = self._clock.monotonic_us()
        if self._refused_us is not None and now - self._refused_us > RETRY_REFUSED_SECONDS * SECOND:
            self._cursor, self._refused_us = 0, None
        while queued := await self._database.read(outbox.pending, BATCH, self._cursor):
            unfit = [m.seq for m in queued if not messages.topic_allowed(m.topic)]
            if unfit:  # I9: a topic is as public as a payload. The text is not logged for the same reason.
                log.error("[MQT-005] %d messages have topics that edged never uses; they are dropped", len(unfit))
                await self._database.write(outbox.drop, unfit)
            await self._publish(
                [
                    Outgoing(
                        topic=m.topic,
                        body=m.body,
                        id=m.id,
                        at_us=m.created_us,
                        historical=not m.latest and m.seq <= self._historical_to,
                        row=m.seq,
                    )
                    for m in queued
                    if m.seq not in unfit
                ]
            )
            self._cursor = queued[-1].seq
        before, self._tally.waiting = self._tally.waiting, await self._database.read(outbox.waiting)
        if before <= MANY < self._tally.waiting:
            log.warning("%d messages wait for the broker; none is dropped, but they fill the disk", self._tally.waiting)

    async def _publish(self, wanted: list[Outgoing]) -> None:
        """Send in order, wait for every PUBACK, and take what the broker has out of the outbox."""
        taken: list[int] = []
        try:
            for window in _cut(wanted, self._link.window):
                sent = [(message, self._send(message)) for message in window]
                for message, answer in sent:
                    if await self._answered(message, answer) and message.row is not None:
                        taken.append(message.row)
        finally:
            if taken:  # also when the link died half way: what was acknowledged need not be said twice
                await asyncio.shield(self._database.write(outbox.acknowledged, taken))

    def _send(self, message: Outgoing) -> asyncio.Future[int]:
        self._seq += 1
        _, left_out = messages.clean(message.topic, message.body)
        if left_out:
            log.debug("left out of %s: %s", message.topic.partition("/")[0], ", ".join(left_out))
        text = messages.payload(
            message.topic,
            message.body,
            message_id=message.id,
            bd_seq=self._begun.bd_seq,
            seq=self._seq,
            at_us=message.at_us,
            boot_id=self._clock.boot_id(),
            historical=message.historical,
        )
        return self._link.send(f"{self._base}/{message.topic}", text)

    async def _answered(self, message: Outgoing, answer: asyncio.Future[int]) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                code = await answer
        except TimeoutError:
            raise BrokerUnreachable(f"the broker acknowledged nothing for {self._timeout:g} s") from None
        if code < REFUSED_FROM:
            self._tally.published += 1
            return True
        self._tally.refused += 1
        self._refused_us = self._refused_us or self._clock.monotonic_us()
        kind = message.topic.partition("/")[0]
        if (kind, code) not in self._complained:
            self._complained.add((kind, code))
            log.warning(
                "[MQT-004] the broker refused a message on .../%s (reason %d); it is kept and offered again: "
                "allow this client to write below %s/ in the broker's access rules",
                kind,
                code,
                self._base,
            )
        return False


def own_id(begun: outbox.Session, topic: str) -> str:
    """The message id of the birth or death of a connection."""
    return f"{begun.epoch}-{topic}-{begun.bd_seq}"


def _cut(wanted: list[Outgoing], size: int) -> Iterator[list[Outgoing]]:
    for start in range(0, len(wanted), size):
        yield wanted[start : start + size]

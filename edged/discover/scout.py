"""Finds the cameras, again and again: probe the network, ask whoever answered who it is, hand over what was learnt.

What was learnt is handed over at every round for every device that answered, so that whoever keeps the roster knows
who was seen; a device is asked again only where something speaks for it (new, moved, announced a change, failed last
time) and otherwise every quarter of an hour. A login that was rejected rests for ten minutes: cameras lock accounts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from edged.base.clock import MINUTE, SECOND, Clock
from edged.base.errors import EdgedError
from edged.config.records import DiscoveryConfig
from edged.discover import probe
from edged.discover.found import Change, Found, Known, Problem
from edged.discover.identity import Match, Sighted, match, new_id, usable_serial
from edged.discover.inquiry import Learnt, MakePort, Sighting, ask
from edged.discover.port import CameraRefusesLogin, CameraUnreachable
from edged.discover.wsd import device_service, plain_id

log = logging.getLogger(__name__)

AT_ONCE = 8  # cameras asked at the same time: enough to hide slow ones, few enough not to flood a small network
LOGIN_RESTS_US = 10 * MINUTE  # a round tries a login at most twice, cameras lock accounts after five or more in a row
ASK_AGAIN_US = 15 * MINUTE  # a device that looks unchanged
_MOST_XADDRS = 3  # of one answer that are tried
_REST = 0.5  # seconds between two rounds at least
DISPUTED_REFERENCE = "DIS-051"
NOTHING_IDENTIFIES = "DIS-052"

OnFound = Callable[[Found], Awaitable[None]]
Prober = Callable[[Sequence[str], Sequence[str], Clock], Awaitable[probe.Probed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """The last time a device was asked, and what came of it."""

    sighting: Sighting
    at_mono_us: int
    learnt: Learnt


class Scout:
    """Discovery as the configuration asks for it.

    `make_port` opens a camera for asking; `on_found` is awaited once per round and device that can be identified;
    `known` gives the roster's cameras, so that ids outlive a restart; `sub` has the small streams asked for too.
    """

    def __init__(
        self,
        config: DiscoveryConfig,
        clock: Clock,
        make_port: MakePort,
        on_found: OnFound,
        *,
        known: Callable[[], Iterable[Known]] = tuple,
        prober: Prober = probe.probe,
        sub: bool = False,
    ) -> None:
        self._config = config
        self._clock = clock
        self._make_port = make_port
        self._on_found = on_found
        self._roster = known
        self._prober = prober
        self._sub = sub
        self._visits: dict[tuple[str, str], _Visit] = {}
        self._known: dict[str, Known] = {}
        self._rejected: dict[str, tuple[int, Problem]] = {}  # by reference or address: until when, on which grounds
        self._told: set[str] = set()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """A round every `every` seconds, for ever. What `on_found` raises passes through."""
        while True:
            started = self._clock.monotonic_us()
            await self.once()
            took = (self._clock.monotonic_us() - started) / SECOND
            await self._clock.sleep(max(_REST, self._config.every - took))

    def retry_logins(self) -> None:
        """Forget that logins were rejected: the owner changed something."""
        self._rejected.clear()

    async def once(self) -> list[Found]:
        """One round. Everything that answered, ordered by camera id; those without an id are in this list alone.

        Rounds never overlap: a call during another's round waits for it, so that no login is tried twice.
        """
        async with self._looking:
            return await self._round()

    async def _round(self) -> list[Found]:
        for camera in self._roster():
            self._known.setdefault(camera.camera_id, camera)
        probed = await self._probe()
        announced = self._announced(probed)
        found: dict[tuple[str, str], Found] = {}
        places = asyncio.Semaphore(AT_ONCE)
        await self._meet_all(announced, places, found)
        # After the others, because a device that was heard need not be counted again under an address without a name.
        direct = [[sighting] for sighting in self._unannounced(probed)]
        await self._meet_all(direct, places, found)
        self._forget_unseen([sighting for group in announced + direct for sighting in group])
        self._tell(probed, found.values())
        return [found[key] for key in sorted(found)]

    # who is there

    async def _probe(self) -> probe.Probed:
        asked = [address for address in self._config.probe if not _has_port(address)]
        return await self._prober(self._config.interfaces, asked, self._clock)

    def _announced(self, probed: probe.Probed) -> list[list[Sighting]]:
        """The devices that answered the probe; those that claim one endpoint reference stand together."""
        by_claim: dict[str, list[Sighting]] = {}
        for answer in probed.answers:
            reference = plain_id(answer.device.endpoint_reference)
            sighting = Sighting(
                reference=reference,
                address=answer.source,
                xaddrs=device_service(answer.source, answer.device.xaddrs)[:_MOST_XADDRS],
                version=answer.device.metadata_version,
                label=new_id(reference) or "without an endpoint reference",
                announced=True,
            )
            by_claim.setdefault(reference or answer.source, []).append(sighting)
        return list(by_claim.values())

    def _unannounced(self, probed: probe.Probed) -> Iterable[Sighting]:
        """Configured addresses that WS-Discovery does not reach: their device service is asked directly."""
        heard = {answer.source for answer in probed.answers}
        for place, address in enumerate(self._config.probe):
            if not _has_port(address) and probed.resolved.get(address, address) in heard:
                continue
            url = f"http://{address}/onvif/device_service"
            host = urlsplit(url).hostname or ""
            # The id this address had: a login of that camera's own is the right one to try. If another device is
            # there now, the id that counts is made from what it says.
            before = [camera.camera_id for camera in self._known.values() if camera.address == host]
            label = before[0] if len(before) == 1 else f"at discovery.probe[{place}]"
            yield Sighting(reference="", address=host, xaddrs=(url,), version=0, label=label, announced=False)

    # who they are

    async def _meet_all(
        self, groups: Sequence[list[Sighting]], places: asyncio.Semaphore, found: dict[tuple[str, str], Found]
    ) -> None:
        try:
            async with asyncio.TaskGroup() as round_:
                for group in groups:
                    round_.create_task(self._meet(group, places, found))
        except ExceptionGroup as failed:
            # Supervision sorts errors by their kind, which a group would hide; a bug outranks what can be tried again.
            raise min(failed.exceptions, key=lambda error: isinstance(error, EdgedError)) from None

    async def _meet(
        self, group: list[Sighting], places: asyncio.Semaphore, found: dict[tuple[str, str], Found]
    ) -> None:
        """Ask the devices of one group, tell them apart, and hand them over."""
        met: list[tuple[Sighting, Learnt]] = []
        for sighting in group:
            async with places:
                learnt = await self._visit(sighting)
            if sighting.announced or not learnt.failed_with(CameraUnreachable.code):
                met.append((sighting, learnt))
        for sighting, learnt in self._one_of_each(met):
            item = self._conclude(sighting, learnt)
            key = (item.camera_id, "" if item.camera_id else item.xaddr)
            if key in found:
                continue
            found[key] = item
            if item.camera_id:
                self._known[item.camera_id] = item.as_known(self._known.get(item.camera_id))
                await self._on_found(item)

    def _one_of_each(self, met: list[tuple[Sighting, Learnt]]) -> list[tuple[Sighting, Learnt]]:
        """Without the doubles: one device seen at two of its addresses, and claimants that cannot be told apart.

        An address known before comes first, so that a device with two addresses does not move to and fro.
        """
        here = {camera.address for camera in self._known.values()}
        kept: dict[str, tuple[Sighting, Learnt]] = {}
        for sighting, learnt in sorted(met, key=lambda pair: (pair[0].address not in here, pair[0].address)):
            serial = usable_serial(learnt.identity.serial)
            if serial in kept:
                continue
            if kept and (not serial or "" in kept):
                self._say_once(
                    f"[{DISPUTED_REFERENCE}] two devices claim the endpoint reference of camera {sighting.label} and"
                    " not both show a serial number: one is left out until they do; check their login"
                )
                continue
            kept[serial] = (sighting, learnt)
        return list(kept.values())

    async def _visit(self, sighting: Sighting) -> Learnt:
        """Ask the device, or remember what it said."""
        key = (sighting.reference, sighting.address)
        now = self._clock.monotonic_us()
        last = self._visits.get(key)
        until, grounds = self._rejected.get(sighting.reference or sighting.address, (0, None))
        if now < until:
            return last.learnt if last is not None else Learnt(xaddr=sighting.xaddrs[0], problem=grounds)
        unchanged = last is not None and last.sighting == sighting and last.learnt.problem is None
        if last is not None and unchanged and now - last.at_mono_us < ASK_AGAIN_US:
            return last.learnt
        learnt = await ask(self._make_port, sighting, sub=self._sub)
        if learnt.problem is not None and learnt.failed_with(CameraRefusesLogin.code):
            until = self._clock.monotonic_us() + LOGIN_RESTS_US
            self._rejected[sighting.reference or sighting.address] = (until, learnt.problem)
        self._visits[key] = _Visit(sighting=sighting, at_mono_us=now, learnt=learnt)
        return learnt

    def _conclude(self, sighting: Sighting, learnt: Learnt) -> Found:
        """Who this is. Of a device that could not be asked, what it was before is not compared."""
        asked = learnt.problem is None
        seen = Sighted(
            endpoint_reference=sighting.reference,
            serial=learnt.identity.serial,
            address=sighting.address,
            firmware=learnt.identity.firmware if asked else None,
            profiles=learnt.profiles if asked else None,
            stream_uri=learnt.stream_uri if asked else None,
        )
        matched = match(seen, list(self._known.values()))
        before = self._known.get(matched.camera_id)
        if matched.change is Change.CLONE:
            self._say_once(
                f"[{DISPUTED_REFERENCE}] camera {matched.camera_id} claims the endpoint reference of another camera but"
                " has another serial number: it is kept as a camera of its own"
            )
        return Found(
            camera_id=matched.camera_id,
            change=matched.change,
            differs=matched.differs,
            endpoint_reference="" if matched.disputed else sighting.reference or _reference(before),
            serial=learnt.identity.serial or (before.serial if before is not None else ""),
            address=sighting.address,
            xaddr=learnt.xaddr,
            manufacturer=learnt.identity.manufacturer,
            model=learnt.identity.model,
            firmware=learnt.identity.firmware,
            clock_offset_us=learnt.clock_offset_us,
            profiles=learnt.profiles,
            main_profile=learnt.main_profile,
            stream_uri=learnt.stream_uri,
            problem=learnt.problem or _nameless(matched, sighting),
            sub_profile=learnt.sub_profile,
            sub_stream_uri=learnt.sub_stream_uri,
        )

    # what is said about it, and what is forgotten

    def _tell(self, probed: probe.Probed, found: Iterable[Found]) -> None:
        """Log each problem when it appears, not at every round, and again when it comes back."""
        texts = {f"discovery cannot use {name}; check it in the configuration" for name in probed.unusable}
        texts |= {f"[{item.problem.code}] {item.problem.text}" for item in found if item.problem is not None}
        for text in sorted(texts - self._told):
            log.warning("%s", text)
        self._told = texts | {text for text in self._told if text.startswith(f"[{DISPUTED_REFERENCE}]")}

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            log.warning("%s", text)
            self._told.add(text)

    def _forget_unseen(self, sightings: Iterable[Sighting]) -> None:
        """Drop visits of devices that did not answer; the rest of a rejected login outlives its visit."""
        present = {(sighting.reference, sighting.address) for sighting in sightings}
        self._visits = {key: visit for key, visit in self._visits.items() if key in present}
        now = self._clock.monotonic_us()
        self._rejected = {key: rest for key, rest in self._rejected.items() if now < rest[0]}


def _has_port(address: str) -> bool:
    """Whether a configured address names the port of a device service: then it is asked there and nowhere else."""
    return ":" in address


def _reference(before: Known | None) -> str:
    return before.endpoint_reference if before is not None else ""


def _nameless(matched: Match, sighting: Sighting) -> Problem | None:
    if matched.camera_id:
        return None
    text = f"the device {sighting.label} shows neither an endpoint reference nor a serial number: it cannot be kept"
    return Problem(NOTHING_IDENTIFIES, f"{text}; record it by its url under a [[camera]]")

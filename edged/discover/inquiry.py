"""Asks one device everything that is asked of it, in order, and keeps what it said."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edged.base.errors import OwnerMustAct, TryAgain
from edged.discover.choose import choose_main, choose_sub
from edged.discover.found import Problem
from edged.discover.port import CameraSpeaksOddly, CameraUnreachable, DeviceIdentity, OnvifPort, Profile

log = logging.getLogger(__name__)

NO_MAIN_PROFILE = "DIS-050"

MakePort = Callable[[str, str], OnvifPort]  # camera id (or another label for errors), device service


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A device to be asked. `label` names it in messages: its camera id where that can be known beforehand."""

    reference: str = field(repr=False)  # normal form; "" where it gave none
    address: str = field(repr=False)  # it answered from here
    xaddrs: tuple[str, ...] = field(repr=False)  # device services to try, best first
    version: int  # grows when the device changed
    label: str
    announced: bool  # over WS-Discovery, and not only asked because the configuration names its address


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What the device itself said, before anything is made of it; `problem` says why the rest is missing."""

    xaddr: str = field(repr=False)
    clock_offset_us: int | None = None
    identity: DeviceIdentity = field(default_factory=DeviceIdentity)
    profiles: tuple[Profile, ...] = ()
    main_profile: str = ""
    stream_uri: str = field(default="", repr=False)
    sub_profile: str = ""
    sub_stream_uri: str = field(default="", repr=False)
    problem: Problem | None = None

    def failed_with(self, code: str) -> bool:
        """Whether asking ended with the problem of this code."""
        return self.problem is not None and self.problem.code == code


async def ask(make_port: MakePort, sighting: Sighting, *, sub: bool = False) -> Learnt:
    """Ask at each address the device gave until it answers; for its small stream too where `sub` says so.

    Expected failures are in the result, not raised.
    """
    learnt = Learnt(xaddr=sighting.xaddrs[0])
    for xaddr in sighting.xaddrs:
        learnt = await _ask_at(make_port, xaddr, sighting.label, sub)
        if not learnt.failed_with(CameraUnreachable.code):
            break
    return learnt


async def _ask_at(make_port: MakePort, xaddr: str, label: str, sub: bool) -> Learnt:
    learnt = Learnt(xaddr=xaddr)
    try:
        port = make_port(label, xaddr)
        # The clock comes first: a login may have to be dated with it: cameras off by years are common.
        try:
            learnt = replace(learnt, clock_offset_us=await port.clock())
        except CameraSpeaksOddly as error:
            log.debug("%s", error)  # its clock is not worth losing the camera over
        learnt = replace(learnt, identity=await port.identity())
        profiles = await port.profiles()
        choice = choose_main(profiles)
        if choice.profile is None:
            text = f"camera {label}: {choice.because}; let it offer an H.264 or H.265 profile"
            return replace(learnt, profiles=profiles, problem=Problem(NO_MAIN_PROFILE, text))
        uri = await port.stream_uri(choice.profile.token)
        learnt = replace(learnt, profiles=profiles, main_profile=choice.profile.token, stream_uri=uri)
        return await _ask_sub(port, learnt, choice.profile, label) if sub else learnt
    except (TryAgain, OwnerMustAct) as error:
        return replace(learnt, problem=Problem(error.code, str(error)))


async def _ask_sub(port: OnvifPort, learnt: Learnt, main: Profile, label: str) -> Learnt:
    """The small stream is never worth the main one: without it the camera is recorded all the same."""
    choice = choose_sub(learnt.profiles, main)
    if choice.profile is None:
        return learnt
    try:
        uri = await port.stream_uri(choice.profile.token)
    except (TryAgain, OwnerMustAct) as error:
        log.warning("camera %s is recorded without its small stream: [%s] %s", label, error.code, error)
        return learnt
    return replace(learnt, sub_profile=choice.profile.token, sub_stream_uri=uri)

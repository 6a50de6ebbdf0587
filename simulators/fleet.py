"""A fleet of simulated cameras in one asyncio process; usable by hand as an async context manager.

async with Fleet(cameras=4, bitrate="1M") as fleet:
    await fleet.cameras[0].unplug()
    fleet.stats()
"""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from simulators.camera import Camera, FaultError
from simulators.clip import make_clip
from simulators.onvif import Identity
from simulators.options import FleetOptions
from simulators.sound import make_sound
from simulators.timebase import Timebase
from simulators.wsd import MulticastEar, read_probe

if TYPE_CHECKING:
    from simulators.tls import Authority


class Fleet:
    """Cameras as FleetOptions asks for them; keyword arguments are its fields.

    Entering raises OptionError or ClipError for what cannot be, OSError where an address or interface is not there.
    """

    def __init__(self, options: FleetOptions | None = None, **asked: Any) -> None:
        self.options = options if options is not None else FleetOptions(**asked)
        self.cameras: list[Camera] = []
        self.ca: Path | None = None
        """The certificate (PEM) all cameras' own are signed with, where the fleet speaks TLS."""
        self._house = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._house.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._house.aclose()

    def camera(self, name: str) -> Camera:
        """The camera of this name. Raises FaultError where there is none."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise FaultError(f"no camera is called {name!r}: there are {self.cameras[0].name} to {self.cameras[-1].name}")

    def stats(self) -> dict[str, Any]:
        """What each camera has sent, to whom, and what is wrong with it."""
        return {"cameras": [camera.stats() for camera in self.cameras]}

    async def _open(self) -> None:
        options = self.options
        clip = await asyncio.to_thread(make_clip, options.film)
        sound = await asyncio.to_thread(make_sound, options.audio)
        authority = self._make_authority() if options.tls else None
        seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
        timebase = Timebase(time.time_ns() // 1000, asyncio.get_running_loop().time())
        addresses = options.addresses()
        for number in range(1, options.cameras + 1):
            draw = random.Random(f"{seed}/{number}")
            camera = Camera(
                number,
                _make_identity(number, draw),
                next(addresses),
                clip,
                options,
                timebase,
                draw,
                self._find_address,
                sound,
                authority,
            )
            self._house.push_async_callback(camera.stop)
            await camera.start()
            self.cameras.append(camera)
        if options.multicast and options.onvif:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: MulticastEar(self._heard), sock=MulticastEar.open_socket(options.interface)
            )
            self._house.callback(transport.close)

    def _make_authority(self) -> "Authority":
        # Only here: cryptography is no dependency of a fleet without TLS.
        from simulators.tls import Authority

        authority = Authority()
        self._house.callback(authority.close)
        self.ca = authority.ca
        return authority

    def _heard(self, datagram: bytes, sender: Any) -> None:
        probe = read_probe(datagram)
        if probe is not None:
            for camera in self.cameras:
                camera.consider(probe, sender)

    def _find_address(self, wish: str | None) -> str:
        """The wished address if no camera is there, or the first free one behind those of the fleet's start."""
        taken = {camera.address: camera.name for camera in self.cameras}
        if wish is not None:
            if wish in taken:
                raise FaultError(f"{wish} is the address of {taken[wish]}: choose another, or none to be given one")
            return wish
        for number, address in enumerate(self.options.addresses()):
            if number >= len(self.cameras) and address not in taken:
                return address
        raise FaultError("no address is left in the subnet")


def _make_identity(number: int, draw: random.Random) -> Identity:
    name = f"cam-{number}"
    return Identity(
        name=name,
        serial=f"SIM{draw.getrandbits(32):08X}",
        endpoint_reference=f"urn:uuid:{UUID(int=draw.getrandbits(128), version=4)}",
        mac="02:" + draw.randbytes(5).hex(":"),  # locally administered: no maker's
        scopes=(
            "onvif://www.onvif.org/Profile/Streaming",
            "onvif://www.onvif.org/Profile/T",
            "onvif://www.onvif.org/type/video_encoder",
            "onvif://www.onvif.org/hardware/simulated",
            f"onvif://www.onvif.org/name/{name}",
        ),
    )

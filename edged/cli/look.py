"""`edged discover --config`: one round of discovery without a daemon. Heavy, so imported only when asked for."""

import asyncio
from pathlib import Path
from typing import Any

from edged.base.clock import SECOND, SystemClock
from edged.base.errors import OwnerMustAct
from edged.config import load_config
from edged.discover.found import Found
from edged.discover.onvif_client import OnvifClients
from edged.discover.port import Login
from edged.discover.scout import Scout


class NothingToAsk(OwnerMustAct):
    """The configuration names nothing that discovery could ask."""

    code = "CLI-010"


def look_around(path: Path) -> list[dict[str, Any]]:
    """What answers to the configuration's discovery, as `edged discover` shows it. Raises BadConfig, NothingToAsk."""
    config = load_config(path).discovery
    if not config.enabled or not (config.interfaces or config.probe):
        raise NothingToAsk(f"{path}: discovery asks nobody", hint="name discovery.interfaces or discovery.probe")

    def login_for(_: str) -> Login | None:
        if config.login is None:
            return None
        return Login(username=config.login.username, password=config.login.read_password())

    async def look() -> list[Found]:
        clock = SystemClock()

        async def heard(_: Found) -> None:
            """Nothing is kept: the list says it all."""

        async with OnvifClients(clock, login_for) as clients:
            return await Scout(config, clock, clients.port, heard).once()

    return [
        {
            "camera": found.camera_id,
            "state": "found",
            "change": found.change.value,
            "streams": len(found.profiles),
            "clock_offset_s": None if found.clock_offset_us is None else round(found.clock_offset_us / SECOND, 3),
            "problem": "" if found.problem is None else found.problem.text,
        }
        for found in asyncio.run(look())
    ]

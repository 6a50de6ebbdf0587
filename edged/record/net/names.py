"""Host names to addresses, on a thread of their own: a dead name server must not be felt by the streams."""

import ipaddress
import socket

from edged.base.errors import TryAgain
from edged.base.worker import Worker
from edged.record.errors import Unreachable


class Names:
    """Looks up cameras' names."""

    def __init__(self) -> None:
        self._worker = Worker("resolve", depth=256)

    async def resolve(self, host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
        """The family and address of `host`. Raises Unreachable."""
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            pass
        else:
            return (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))
        try:
            found = await self._worker.run(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        except (OSError, TryAgain):
            raise Unreachable(
                "the camera's name has no address", hint="check the name server, or use its address"
            ) from None
        family, _, _, _, address = found[0]
        return family, tuple(part for part in address if isinstance(part, str | int))

    def close(self) -> None:
        """End the thread, without waiting for a name server."""
        self._worker.shutdown(wait=False)

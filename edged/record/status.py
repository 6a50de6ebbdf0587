"""The live status: one JSON line a second on a Unix stream socket, to whoever connects.

The controller follows it, and a successor gives its orders on it (edged.record.orders). It carries no truth that is not
also in the journal, so nothing is lost when it is not read.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

from edged.base.clock import Clock
from edged.base.errors import TryAgain
from edged.base.files import canonical_json
from edged.model import Cause, RecorderStatus, StreamKind, StreamState, StreamStatus, VolumeStatus
from edged.record.errors import RecorderAbsent
from edged.record.orders import YIELDING, Order, decode_order

log = logging.getLogger(__name__)
VERSION = 1
LINE_LIMIT = 4 * 1024 * 1024  # a few hundred streams need 200 KiB
_SLOW_READER = 1024 * 1024  # bytes a client may leave unread before it is let go
_SILENCE_SECONDS = 5.0


class BadStatus(TryAgain):
    """A status line cannot be understood."""

    code = "REC-033"
    hint = "the recorder may be of another version: restart its service"


def status_socket_path(runtime_dir: Path, recorder_id: str) -> Path:
    """Where recorder `recorder_id` publishes its status."""
    return runtime_dir / f"recorder-{recorder_id}.sock"


def encode_status(status: RecorderStatus) -> bytes:
    """`status` as one line, newline included."""
    fields = {name: getattr(status, name) for name in _fields(RecorderStatus)}
    fields["streams"] = [{name: getattr(one, name) for name in _fields(StreamStatus)} for one in status.streams]
    fields["volumes"] = [{name: getattr(one, name) for name in _fields(VolumeStatus)} for one in status.volumes]
    return canonical_json({"v": VERSION, **fields}) + b"\n"


def decode_status(line: bytes) -> RecorderStatus:
    """The status in `line`; unknown fields are ignored (a newer recorder may add some). Raises BadStatus."""
    try:
        fields: dict[str, Any] = json.loads(line)
        if fields["v"] != VERSION:
            raise BadStatus(f"status of version {fields['v']}, this edged reads version {VERSION}")
        streams = tuple(
            StreamStatus(
                **{
                    **_known(one, StreamStatus),
                    "stream": StreamKind(one["stream"]),
                    "state": StreamState(one["state"]),
                    "cause": Cause(one["cause"]) if one["cause"] is not None else None,
                    "quirks": tuple(one.get("quirks", ())),
                }
            )
            for one in fields["streams"]
        )
        volumes = tuple(VolumeStatus(**_known(one, VolumeStatus)) for one in fields["volumes"])
        return RecorderStatus(**{**_known(fields, RecorderStatus), "streams": streams, "volumes": volumes})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadStatus(f"a status line of {len(line)} bytes is no status ({type(error).__name__})") from error


async def follow_status(path: Path) -> AsyncIterator[RecorderStatus]:
    """Every status the recorder publishes. Ends only by raising RecorderAbsent or BadStatus, or by being closed."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
    except OSError as error:
        raise RecorderAbsent(f"no recorder answers on {path.name} ({error.strerror})") from error
    try:
        while True:
            try:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    line = await reader.readline()
            except TimeoutError:
                raise RecorderAbsent(f"the recorder on {path.name} is silent for {_SILENCE_SECONDS:g} s") from None
            except (OSError, ValueError) as error:
                raise RecorderAbsent(f"the recorder on {path.name} has gone") from error
            if not line.endswith(b"\n"):
                raise RecorderAbsent(f"the recorder on {path.name} has gone")
            yield decode_status(line)
    finally:
        writer.close()


class Heir(Protocol):
    """Takes what a client of the status socket orders; see edged.record.orders."""

    async def obey(self, order: Order) -> None:
        """Carry out one order, in so far as that is quick."""

    async def withdrawn(self) -> None:
        """The client that gave orders is gone."""


class StatusServer:
    """Publishes what `snapshot` says, once a second, on `path`; hands orders to `heir`. An async context manager."""

    def __init__(
        self, path: Path, snapshot: Callable[[], RecorderStatus], clock: Clock, heir: Heir | None = None
    ) -> None:
        self._path = path
        self._snapshot = snapshot
        self._clock = clock
        self._heir = heir
        self._clients: set[asyncio.StreamWriter] = set()
        self._giving_orders: asyncio.StreamWriter | None = None
        self._server: asyncio.AbstractServer | None = None
        self._inode = 0

    async def __aenter__(self) -> "StatusServer":
        if self._server is None:
            await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        for client in list(self._clients):
            client.transport.abort()

    async def open(self) -> None:
        """Listen on `path`, whoever listened there before. Raises OSError."""
        # Renamed into place, so that between a recorder and its successor there is always one to connect to.
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        self._server = await asyncio.start_unix_server(self._serve, new, limit=LINE_LIMIT)
        new.chmod(0o660)
        self._inode = new.stat().st_ino
        new.rename(self._path)

    def close(self) -> None:
        """Listen no more, and leave the path alone where a successor listens there already."""
        if self._server is not None:
            self._server.close()
            self._server = None
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def yield_to_successor(self) -> None:
        """Leave the listeners to whoever gives the orders; only that client is told from here on."""
        self.close()
        for client in list(self._clients):
            if client is not self._giving_orders:
                client.transport.abort()
        if self._giving_orders is not None:
            self._giving_orders.write(YIELDING)

    def publish(self) -> None:
        """Tell every client now."""
        if self._clients:
            line = encode_status(self._snapshot())
            for client in list(self._clients):
                self._send(client, line)

    async def publish_for_ever(self) -> None:
        """Once a second, the same line to every client."""
        while True:
            self.publish()
            await self._clock.sleep(1.0)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._clients.add(client)
        try:
            self._send(client, encode_status(self._snapshot()))
            # Cancelled at the end of the process, and then there is nothing to undo.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._take_orders(reader, client)
        finally:
            self._clients.discard(client)
            client.close()
            if self._giving_orders is client:
                self._giving_orders = None

    async def _take_orders(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        heir = self._heir
        try:
            while line := await reader.readline():
                order = decode_order(line)
                if heir is None or self._giving_orders not in (None, client):
                    log.warning("an order came that nobody waits for: it is not carried out")
                    return
                self._giving_orders = client
                await heir.obey(order)
        except ValueError as error:  # LINE_LIMIT too
            log.warning("a client of the status socket is let go: %s", error)
        finally:
            if self._giving_orders is client and heir is not None:
                await heir.withdrawn()

    def _send(self, client: asyncio.StreamWriter, line: bytes) -> None:
        if client.is_closing():
            return
        if client.transport.get_write_buffer_size() > _SLOW_READER:
            client.transport.abort()
            return
        client.write(line)


def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _known(fields: dict[str, Any], kind: Any) -> dict[str, Any]:
    """The fields of `kind`; those that an older recorder leaves out have their defaults."""
    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    return {name: fields[name] for name in _fields(kind) if name in fields or name not in optional}

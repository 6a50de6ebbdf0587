"""The fleet's control channel: one JSON object per line over loopback TCP or a Unix socket, and its client.

{"do": "fault", "camera": "cam-1", "fault": "drop", "value": "5"}   ->  {"ok": true, "faults": ["dropping 5 %"]}
{"do": "stats"}                                                      ->  {"cameras": [...]}
anything else                                                        ->  {"error": "a sentence"}
"""

import argparse
import asyncio
import json
import math
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from simulators.camera import Camera, FaultError
from simulators.film import ClipError
from simulators.fleet import Fleet
from simulators.mischief import Mischief
from simulators.options import OptionError

_VALUES_HELP = (
    "password NEW | drop PERCENT | reorder PERCENT | duplicate PERCENT | delay MS | jump SECONDS | move [ADDRESS]"
    " | redirect URL, CAMERA or off | quirk NAME | unquirk NAME"
)
_LONGEST_LINE = 64 * 1024
_PATIENCE_S = 10.0


class ControlError(Exception):
    """The fleet could not be reached, or said no; the message is its sentence."""


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FaultError(f"{text!r} is not a number")
    return number


_PLAIN: dict[str, Callable[[Camera], Awaitable[None]]] = {
    "unplug": Camera.unplug,
    "plug": Camera.plug,
    "stall": Camera.stall,
    "resume": Camera.resume,
    "refuse": Camera.refuse,
    "accept": Camera.accept,
    "ssrc-change": Camera.change_ssrc,
    "params-change": Camera.change_parameters,
}
_VALUED: dict[str, tuple[str, Callable[[Camera, str], Awaitable[None]]]] = {
    "password": ("the new password", lambda camera, value: camera.change_password(value)),
    "drop": ("a percentage", lambda camera, value: camera.drop(_number(value))),
    "jump": ("seconds", lambda camera, value: camera.jump(_number(value))),
}
_MISCHIEF: dict[str, tuple[str, Callable[[Mischief, str], None]]] = {
    "reorder": ("a percentage", lambda mischief, value: mischief.set_share("reorder", _number(value))),
    "duplicate": ("a percentage", lambda mischief, value: mischief.set_share("duplicate", _number(value))),
    "delay": ("milliseconds", lambda mischief, value: mischief.set_delay(_number(value))),
    "quirk": ("the name of a quirk", Mischief.add_quirk),
    "unquirk": ("the name of a quirk", Mischief.remove_quirk),
}
FAULTS = (*_PLAIN, *_VALUED, *_MISCHIEF, "move", "redirect")


async def inflict(fleet: Fleet, camera_name: str, fault: str, value: str | None) -> Camera:
    """Do what a fault command says. Raises FaultError with a sentence for whoever asked."""
    camera = fleet.camera(camera_name)
    if fault in _PLAIN:
        if value is not None:
            raise FaultError(f"{fault} takes no value, but {value!r} was given")
        await _PLAIN[fault](camera)
    elif fault in _VALUED:
        wanted, act = _VALUED[fault]
        if value is None:
            raise FaultError(f"{fault} needs {wanted}")
        await act(camera, value)
    elif fault in _MISCHIEF:
        wanted, change = _MISCHIEF[fault]
        if value is None:
            raise FaultError(f"{fault} needs {wanted}")
        change(camera.mischief, value)
    elif fault == "redirect":
        camera.mischief.redirect_to = _find_target(fleet, value)
    elif fault == "move":
        await camera.move(value)
    else:
        raise FaultError(f"no fault is called {fault!r}: there are {', '.join(FAULTS)}")
    return camera


def _find_target(fleet: Fleet, value: str | None) -> str | None:
    """Where a redirect leads: a URL, a camera of the fleet, or nowhere."""
    if value is None:
        raise FaultError("redirect needs a URL, the name of a camera, or off")
    if value == "off":
        return None
    return value if "://" in value else fleet.camera(value).rtsp_url


async def obey(fleet: Fleet, line: bytes) -> dict[str, Any]:
    """The answer to one line of the control channel, after doing what it says."""
    try:
        order = json.loads(line)
        if not isinstance(order, dict):
            raise FaultError("want a JSON object")
        match order.get("do"):
            case "stats":
                return fleet.stats()
            case "fault":
                name, fault, value = order.get("camera"), order.get("fault"), order.get("value")
                if not isinstance(name, str) or not isinstance(fault, str):
                    raise FaultError("a fault needs the texts `camera` and `fault`")
                camera = await inflict(fleet, name, fault, None if value is None else str(value))
                return {"ok": True, **camera.card(), "faults": camera.stats()["faults"]}
            case other:
                raise FaultError(f"no command is called {other!r}: there are fault and stats")
    except json.JSONDecodeError as error:
        return {"error": f"not JSON: {error}"}
    except (FaultError, ClipError) as error:
        return {"error": str(error)}


@asynccontextmanager
async def control_channel(fleet: Fleet, where: str) -> AsyncIterator[str]:
    """Serve the control channel at `HOST:PORT` (port 0: any) or at a path; yields where it really is."""
    open_now: set[asyncio.StreamWriter] = set()
    all_closed = asyncio.Event()
    all_closed.set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        all_closed.clear()
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await obey(fleet, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # gone, or a line without end
            pass
        finally:
            writer.close()
            open_now.discard(writer)
            if not open_now:
                all_closed.set()

    target = parse_control(where)
    if isinstance(target, Path):
        if target.is_socket():  # left behind by a fleet that was killed; anything else is not ours to remove
            target.unlink()
        server: asyncio.Server = await asyncio.start_unix_server(converse, target, limit=_LONGEST_LINE)
        told = str(target)
    else:
        server = await asyncio.start_server(converse, *target, limit=_LONGEST_LINE)
        host, port = server.sockets[0].getsockname()[:2]
        told = f"{host}:{port}"
    try:
        yield told
    finally:
        server.close()
        for writer in list(open_now):
            writer.transport.abort()
        await all_closed.wait()
        if isinstance(target, Path):
            target.unlink(missing_ok=True)


def parse_control(where: str) -> Path | tuple[str, int]:
    """A control address: a path where there is a slash in it, else HOST:PORT. Raises OptionError."""
    if "/" in where:
        return Path(where.removeprefix("unix:"))
    host, colon, port = where.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise OptionError(f"control = {where}: want HOST:PORT or the path of a Unix socket")
    return host, int(port)


def ask(where: str, order: dict[str, Any]) -> dict[str, Any]:
    """Send one order and return the answer. Raises ControlError where there is none, or where it is an error."""
    target = parse_control(where)
    try:
        if isinstance(target, Path):
            sock = socket.socket(socket.AF_UNIX)
            with sock:
                sock.settimeout(_PATIENCE_S)
                sock.connect(str(target))
                reply = _exchange(sock, order)
        else:
            with socket.create_connection(target, timeout=_PATIENCE_S) as sock:
                reply = _exchange(sock, order)
        answer: dict[str, Any] = json.loads(reply)
    except (OSError, json.JSONDecodeError) as error:
        raise ControlError(f"no fleet answers at {where}: {error}") from error
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


def _exchange(sock: socket.socket, order: dict[str, Any]) -> bytes:
    sock.sendall(json.dumps(order).encode() + b"\n")
    with sock.makefile("rb") as answers:
        return answers.readline()


def main_fault(argv: list[str]) -> int:
    """`python -m simulators fault`: exit code 0 when done, 2 with a sentence when not."""
    parser = argparse.ArgumentParser(prog="simulators fault", description="Inflict a fault on a camera of a fleet.")
    parser.add_argument("--control", required=True, metavar="ADDRESS", help="HOST:PORT or path, as the fleet told it")
    parser.add_argument("camera", help="cam-1 and so on")
    parser.add_argument("fault", help=", ".join(FAULTS))
    parser.add_argument("value", nargs="?", help=_VALUES_HELP)
    asked = parser.parse_args(argv)
    order = {"do": "fault", "camera": asked.camera, "fault": asked.fault, "value": asked.value}
    return _tell(asked.control, order)


def main_stats(argv: list[str]) -> int:
    """`python -m simulators stats`: JSON on standard output."""
    parser = argparse.ArgumentParser(prog="simulators stats", description="What each camera of a fleet has sent.")
    parser.add_argument("--control", required=True, metavar="ADDRESS", help="HOST:PORT or path, as the fleet told it")
    return _tell(parser.parse_args(argv).control, {"do": "stats"})


def _tell(where: str, order: dict[str, Any]) -> int:
    try:
        print(json.dumps(ask(where, order)))
    except (ControlError, OptionError) as error:
        print(f"simulators: {error}", file=sys.stderr)
        return 2
    return 0

"""Asks the daemon over its Unix socket, with the standard library alone: a command must start in milliseconds."""

import argparse
import getpass
import http.client
import json
import os
import socket
from typing import Any
from urllib.parse import quote, urlencode

from edged.base.errors import EdgedError

DEFAULT_SOCKET = "/run/edged/api.sock"

_WHO_MAY = "join the group of the socket (edged), or use sudo"
_BUSY = "a change that was asked for may still be made: look before asking again"
_RUNNING = "is `edged run` running, and is --socket or EDGED_SOCKET right?"


class DaemonAbsent(EdgedError):
    """Nobody answers at the socket."""

    code = "CLI-001"


class NobodyNamed(EdgedError):
    """An act wants the name of a person, and none is known."""

    code = "CLI-003"


class RequestRefused(EdgedError):
    """The daemon understood and refused; nothing was changed."""

    code = "CLI-002"


def add_daemon_options(parser: argparse.ArgumentParser, *, inner: bool = False) -> None:
    """The two options of every command that asks the daemon; `inner` for an act below a command that has them too."""
    parser.add_argument(
        "--socket", metavar="PATH", default=argparse.SUPPRESS if inner else None, help="the daemon's API socket"
    )
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS if inner else False, help="print JSON, for scripts"
    )


def person(arguments: argparse.Namespace) -> str:
    """Who acts: --by, else the user's own name. Raises NobodyNamed."""
    if arguments.by is not None:
        return str(arguments.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a user id without a name, as in a container
        raise NobodyNamed("it is not known who you are", hint="say so: --by NAME") from error


def below(path: str, *names: str) -> str:
    """A path of the API with names that people typed in it, whatever is in them."""
    return path.format(*(quote(name, safe="") for name in names))


def ask(
    arguments: argparse.Namespace,
    method: str,
    path: str,
    *,
    query: dict[str, str | None] | None = None,
    body: dict[str, Any] | None = None,
    timeout: float = 60.0,
) -> Any:
    """The daemon's answer as JSON. Raises DaemonAbsent, RequestRefused."""
    where = arguments.socket or os.environ.get("EDGED_SOCKET") or DEFAULT_SOCKET
    asked = {name: value for name, value in (query or {}).items() if value is not None}
    connection = _UnixConnection(where, timeout)
    try:
        connection.request(
            method,
            f"{path}?{urlencode(asked)}" if asked else path,
            body=None if body is None else json.dumps({k: v for k, v in body.items() if v is not None}),
            headers={"Content-Type": "application/json"} if body is not None else {},
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
    except PermissionError as error:
        raise DaemonAbsent(f"you may not ask the daemon at {where}", hint=_WHO_MAY) from error
    except TimeoutError as error:
        raise DaemonAbsent(f"the daemon at {where} has not answered within {timeout:g} s", hint=_BUSY) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DaemonAbsent(f"the daemon does not answer at {where} ({why})", hint=_RUNNING) from error
    finally:
        connection.close()
    if response.status >= 400:
        raise RequestRefused(str(answer.get("error", f"HTTP {response.status}")))
    return answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

"""Requests over the API: what they may carry, and how a refusal is answered. Pure but for reading the body."""

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from edged.base.clock import SECOND
from edged.base.errors import EdgedError, Refused
from edged.law.counting import local_time

log = logging.getLogger(__name__)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_YEARS = range(1970, 9999)  # a day to spare on either side, for the offset of any zone
_LAST_US = (dt.datetime(9999, 1, 1, tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1)
_BODY_LIMIT = 64 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(Refused):
    """The request itself is wrong."""

    code = "API-001"


def parse_time(text: str, name: str) -> int:
    """Microseconds UTC of an ISO 8601 time with offset. Raises BadRequest."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name}: {text!r} is not a time", hint="write it like 2026-11-01T08:00:00+08:00") from None
    if at.tzinfo is None:
        raise BadRequest(f"{name}: {text!r} has no offset", hint="end it with Z or an offset such as +08:00")
    if at.year not in _YEARS:
        raise BadRequest(f"{name}: {text!r} is out of reach", hint="leave it out where there is no such end")
    return (at - _EPOCH) // dt.timedelta(microseconds=1)


def parse_day(text: str, name: str) -> dt.date:
    """A civil day. Raises BadRequest."""
    with contextlib.suppress(ValueError):
        day = dt.date.fromisoformat(text)
        if day.year in _YEARS:
            return day
    raise BadRequest(f"{name}: {text!r} is not a day", hint="write it like 2026-11-01")


def print_time(at_us: int | None, tz: ZoneInfo, timespec: str = "milliseconds") -> str | None:
    """ISO 8601 in civil time at the site, with its offset: midnights are what retention counts.

    What no calendar shows, as a file on a volume may have it, is told as the last that one does.
    """
    return None if at_us is None else local_time(min(at_us, _LAST_US), tz).isoformat(timespec=timespec)


def seconds(us: int) -> float:
    return round(us / SECOND, 3)


async def read_body(request: web.Request, *, texts: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> Any:
    """The JSON object of a request: `texts` must be there and not be empty; others than named are refused.

    Raises BadRequest.
    """
    raw = await request.content.read(_BODY_LIMIT)
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    for name in texts:
        if not isinstance(body.get(name), str) or not body[name].strip():
            raise BadRequest(f"{name}: is missing or empty")
    if unknown := sorted(set(body) - {*texts, *optional}):
        raise BadRequest(f"{', '.join(unknown)}: unknown; known here: {', '.join((*texts, *optional))}")
    return body


@web.middleware
async def answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A refusal is an answer with a sentence and a code, never a traceback."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _refusal(400, error)
    except Refused as error:
        return _refusal(409, error)
    except EdgedError as error:
        return _refusal(503, error)
    except web.HTTPException as error:
        return web.json_response({"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status)


def _refusal(status: int, error: EdgedError) -> web.Response:
    return web.json_response({"error": str(error), "code": error.code}, status=status)

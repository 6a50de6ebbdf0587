"""Values with units, as an operator writes them: "10s", "1h", "30d", "5GiB". A bare number is refused."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DAYS = re.compile(r"(\d{1,5})\s*d")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB|TiB)")
_BYTES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def parse_duration(value: object) -> float:
    """Seconds in "250ms", "10s", "5min", "1h" or "30d". Raises ValueError for anything else."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a duration is a text with a unit (ms, s, min, h, d), such as "10s" or "1h"')
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> int:
    """Bytes in "512MiB", "5GiB" or "1TiB". Raises ValueError for anything else."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size is a text with a binary unit (KiB, MiB, GiB, TiB), such as "5GiB"')
    return round(float(match[1]) * _BYTES[match[2]])


def parse_days(value: object) -> int:
    """Civil days in "3d". Raises ValueError for anything else: what is counted in civil days has no halves."""
    match = _DAYS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a number of whole civil days, such as "3d"')
    return int(match[1])


Seconds = Annotated[float, BeforeValidator(parse_duration)]
Days = Annotated[int, BeforeValidator(parse_days)]
Bytes = Annotated[int, BeforeValidator(parse_size)]

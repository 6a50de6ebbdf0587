"""What people see: tables that line up in Chinese and Latin script alike, and times in words they use."""

import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

_FRACTION = re.compile(r"(?<=:[0-5][0-9])\.[0-9]+")


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True))


def complain(text: str) -> None:
    """One or more lines on stderr."""
    print(f"edged: {text}", file=sys.stderr)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Columns as wide as their widest cell; the sentence `empty` where there are no rows."""
    if not rows:
        print(empty)
        return
    cells = [[str(head) for head in heads], *([("-" if c is None or c == "" else str(c)) for c in row] for row in rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip())


def for_people(seconds: float | None) -> str:
    """A duration in two units at most: "42s", "12min", "3h 20min", "29d 4h"."""
    if seconds is None:
        return "-"
    left = round(abs(seconds))
    sign = "-" if seconds < 0 and left else ""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return sign + (" ".join(parts[:2]) or "0s")


def count(amount: int, thing: str) -> str:
    """ "1 outage", "2 outages"."""
    return f"{amount} {thing}{'' if amount == 1 else 's'}"


def time_for_people(at: str | None) -> str:
    """A time of the API to the second; as it is printed it can be typed where a command wants a time."""
    return "-" if at is None else _FRACTION.sub("", at)


def bytes_for_people(amount: int | None) -> str:
    """A size in binary units with three digits."""
    if amount is None:
        return "-"
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)

"""The demo's screen: sentences as they happen, and on a terminal a live table below them."""

import shutil
import time
from typing import Any, TextIO


class Screen:
    """Sentences scroll; the table is redrawn below the newest one. Without a terminal there are sentences alone."""

    def __init__(self, out: TextIO, began: float) -> None:
        self._out = out
        self._began = began
        self._live = out.isatty()
        self._drawn = 0
        self._table: list[str] = []

    def say(self, sentence: str) -> None:
        """One sentence, with the seconds since the beginning."""
        self._wipe()
        self._out.write(f"[{time.monotonic() - self._began:5.1f} s] {sentence}\n")
        self._draw()

    def show(self, cameras: list[dict[str, Any]], outages: list[dict[str, Any]]) -> None:
        """The table as of now."""
        if not self._live:
            return
        self._wipe()
        rows = [f"  {'CAMERA':<14}{'FEED':<12}{'LAST STORED':<13}CAUSE"]
        for camera in cameras:
            age = camera["committed_age_s"]
            stored = "-" if age is None else f"{age:.1f} s ago"
            rows.append(f"  {camera['camera']:<14}{camera['state']:<12}{stored:<13}{camera['cause'] or ''}")
        rows += [f"  outage {o['id']}: {o['camera']} {o['state']} since {o['t0']}" for o in outages]
        self._table = rows
        self._draw()

    def close(self) -> None:
        """Take the table away."""
        self._wipe()
        self._table = []

    def _wipe(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        if self._live and self._table:
            width = shutil.get_terminal_size().columns
            self._out.writelines(f"{row[: width - 1]}\n" for row in self._table)
            self._drawn = len(self._table)
        self._out.flush()

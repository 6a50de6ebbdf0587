"""How benchmarks speak: one JSON line a figure on standard output, progress on standard error."""

import json
import shutil
import subprocess
import sys
from pathlib import Path


def figure(name: str, value: float, unit: str, target: float | None = None, *, least: bool = False) -> bool:
    """Print a figure; returns whether its target is met. `least` marks a target that is to be reached or passed."""
    ok = None if target is None else value >= target if least else value <= target
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, "target": target, "ok": ok}), flush=True)
    return ok is not False


def note(text: str) -> None:
    """Say what is going on."""
    print(text, file=sys.stderr, flush=True)


def clear(folder: Path, root: Path) -> None:
    """Remove the folder and wait for the disk below `root`: nobody pays for the pages that another one left."""
    shutil.rmtree(folder)
    subprocess.run(["sync", "-f", str(root)], check=False)


def check_space(folder: Path, needed: float) -> None:
    """End the program where the disk would fill up."""
    free = shutil.disk_usage(folder).free
    if free < needed * 1.2:
        raise SystemExit(f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free (try --folder)")

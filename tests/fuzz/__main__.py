"""`make fuzz`: every core under atheris, guided by coverage, for a bounded time each.

    python -m tests.fuzz [--seconds 30] [--corpus FOLDER] [core ...]

A find is written below `tests/fuzz/finds/<core>/`, from where the normal suite asks it ever after.
"""

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.cores import CORES
from tests.fuzz.seeds import seeds

FINDS = Path(__file__).parent / "finds"
_STATISTIC = re.compile(r"stat::(number_of_executed_units|peak_rss_mb):\s+(\d+)")


def main() -> int:
    """Exit code 0 where nothing was found, 1 where something was, 3 where atheris is not installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=30, help="for each core (default %(default)s)")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what reached new code (default: none is kept)")
    parser.add_argument("core", nargs="*", help=", ".join(CORES))
    asked = parser.parse_args()
    for name in asked.core:
        if name not in CORES:
            parser.error(f"no core is called {name!r}: there are {', '.join(CORES)}")
    if importlib.util.find_spec("atheris") is None:
        print("missing: atheris (a wheel for this Python: pip install atheris)", file=sys.stderr)
        return 3
    found = 0
    for name in asked.core or CORES:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            corpus = (asked.corpus or Path(folder)) / name
            corpus.mkdir(parents=True, exist_ok=True)
            for seed in seeds(name):
                (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
            found += _fuzz(name, corpus, asked.seconds)
    return 1 if found else 0


def _fuzz(name: str, corpus: Path, seconds: int) -> bool:
    """Fuzz one core in a child; returns whether it found anything, and keeps that."""
    with tempfile.TemporaryDirectory(prefix="finds-") as folder:
        child = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, str(corpus), folder, str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds * 3 + 120,
            check=False,
        )
        told = ", ".join(f"{what} {count}" for what, count in _STATISTIC.findall(child.stdout))
        print(f"{name:16s} {'FOUND' if child.returncode else 'ok':6s} {told}", flush=True)
        if child.returncode:
            print(child.stdout[-3000:])
        for find in Path(folder).iterdir():
            kept = FINDS / name / find.name[:20]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(find.read_bytes())
            print(f"kept as {kept}")
        return child.returncode != 0


if __name__ == "__main__":
    sys.exit(main())

"""Which recorder process records which camera. Decides only.

Rendezvous hashing: every process bids for every camera, and the highest bid wins. So a camera stays where it is as
long as its process is there; one process more among n takes about one camera in n + 1, and nobody else moves.
"""

import hashlib
from collections.abc import Sequence

MOST = 8  # recorder.processes


def process_ids(recorder: str, count: int) -> tuple[str, ...]:
    """The ids of `count` recorder processes: `recorder` itself, then `recorder`-2, `recorder`-3, ..."""
    return (recorder, *(f"{recorder}-{number}" for number in range(2, count + 1)))


def process_of(camera: str, processes: Sequence[str]) -> str:
    """The id among `processes` that records `camera`, both of its streams."""
    return max(processes, key=lambda process: (_bid(process, camera), process))


def _bid(process: str, camera: str) -> bytes:
    return hashlib.sha256(f"{process}\0{camera}".encode()).digest()

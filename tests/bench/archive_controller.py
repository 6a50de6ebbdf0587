"""A controller on the large index: how long until it answers, what it answers in, and what it takes."""

import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.bench.archive_made import RECORDER, Made
from tests.bench.figures import figure, note
from tests.bench.processes import cpu_seconds, pss_bytes, running

WAIT_S = 120.0
REST_S, LOOK_S = 15.0, 5.0
BUSY = 0.15  # of a core: it is not at rest yet
ROUNDS = 5
PAGES = ("/v1/status", "/v1/retention", "/v1/retention/plan")

CONFIG = """
[site]
id = "site-1"
jurisdiction = "jilin"
repair_unit = "repair unit"
superior_department = "superior department"
[recorder]
id = "{recorder}"
state_dir = "{state}"
runtime_dir = "{runtime}"
[[volume]]
id = "disk-0"
path = "{disk}"
[discovery]
probe = ["127.0.0.1:9"]
every = "1h"
[metrics]
port = 0
"""


def start(box: Made, runtime: Path) -> list[bool]:
    """Start `edged run` without a recorder, ask it, leave it alone for a while, end it."""
    note("a controller on this index")
    runtime.mkdir()
    config = runtime / "edged.toml"
    config.write_text(CONFIG.format(recorder=RECORDER, state=box.index.parent, runtime=runtime, disk=box.disk))
    began = time.perf_counter()
    command = [sys.executable, "-m", "edged", "run", "--config", str(config), "--external-recorder"]
    with running([*command, "--log-level", "warning"]) as (controller,):
        _until_it_answers(runtime / "api.sock", controller)
        serving, busy = time.perf_counter() - began, cpu_seconds([controller.pid])
        times = {page: _asked(runtime / "api.sock", page) for page in PAGES}
        port = int((runtime / "metrics.port").read_text())
        metrics = sorted(_scraped(port) for _ in range(ROUNDS))[ROUNDS // 2]
        note("until it has looked through the ledger's copy")
        until = time.perf_counter() + WAIT_S
        while _share(controller.pid, LOOK_S) > BUSY and time.perf_counter() < until:
            pass
        cpu = _share(controller.pid, REST_S)
        memory, peak = pss_bytes([controller.pid]), _peak_bytes(controller.pid)
    return [
        figure("archive_controller_start", serving, "s", 2),
        figure("archive_controller_start_cpu", busy, "s", 2),
        *(figure(f"archive_controller_{page.rpartition('/')[2]}", took, "s") for page, took in times.items()),
        figure("archive_controller_metrics", metrics, "s", 0.05),
        figure("archive_controller_memory", memory / 2**20, "MiB", 200),
        figure("archive_controller_memory_peak", peak / 2**20, "MiB"),
        figure("archive_controller_at_rest", cpu * 100, "% of a core", 5),
    ]


def _share(pid: int, seconds: float) -> float:
    """The share of a core that the process takes for so many seconds."""
    cpu, at = cpu_seconds([pid]), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds([pid]) - cpu) / (time.perf_counter() - at)


def _peak_bytes(pid: int) -> int:
    """The most memory that was resident at once, what is shared with others included."""
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _until_it_answers(path: Path, controller: subprocess.Popen[str]) -> None:
    until = time.perf_counter() + WAIT_S
    while time.perf_counter() < until:
        if controller.poll() is not None:
            raise SystemExit(f"the controller ended with {controller.returncode}")
        try:
            _get(path, "/v1/status")
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit(f"the controller does not answer within {WAIT_S:.0f} s")


def _asked(path: Path, page: str) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        _get(path, page)
        took.append(time.perf_counter() - began)
    return sorted(took)[ROUNDS // 2]


def _get(path: Path, page: str) -> object:
    connection = http.client.HTTPConnection("localhost", timeout=WAIT_S)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", page)
        response = connection.getresponse()
        answer: object = json.loads(response.read())
        if response.status != 200:
            raise SystemExit(f"{page}: {answer}")
        return answer
    finally:
        connection.close()


def _scraped(port: int) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as response:
        response.read()
    return time.perf_counter() - began

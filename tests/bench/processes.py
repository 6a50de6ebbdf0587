"""What a process costs, as the kernel accounts it; and processes that end when the benchmark does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def end_in_order() -> None:
    """Have SIGTERM end this program as an exception does, so that what it started is ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system seconds of these processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: memory with each shared page divided among those who share it."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def family(pid: int) -> list[int]:
    """The process and its children, and theirs: a recorder may deal its cameras out."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def thread_seconds(pid: int) -> dict[str, float]:
    """User and system seconds of each thread of the process so far, by thread id and name."""
    found = {}
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        head, _, tail = stat.read_text().rpartition(")")
        fields = tail.split()
        found[f"{stat.parent.name} {head.partition('(')[2]}"] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def busy_seconds() -> float:
    """Seconds that the cores this program may use have been neither idle nor waiting for a disk so far."""
    total = 0
    cores = os.sched_getaffinity(0)
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _waiting, hard, soft = map(int, fields[:7])
            total += user + nice + system + hard + soft
    return total / TICKS


@contextmanager
def running(*commands: list[str], stdout: int = subprocess.DEVNULL) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the commands; end them, and only them, on the way out."""
    started: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            started.append(  # noqa: PERF401 - one by one, so that those started are ended if the next one fails
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
            )
        yield started
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

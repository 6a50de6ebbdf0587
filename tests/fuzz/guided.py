"""One core under atheris, in a process of its own: ``python -m tests.fuzz.guided CORE CORPUS FINDS SECONDS``.

Imports nothing of edged before atheris watches imports, or there would be no coverage to be guided by.
"""

import resource
import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

MEMORY_BYTES = 1024 * 1024 * 1024  # of address space: the interpreter and what it loads take some 500 MiB of it
LONGEST_INPUT = 4096
SLOWEST_S = 5  # for one input; the slowest core needs some milliseconds


def main() -> None:
    """Ends with the process, as libFuzzer wants it."""
    name, corpus, finds, seconds = sys.argv[1:]
    with atheris.instrument_imports(include=["edged.record"]):
        from tests.fuzz.cores import CORES
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={SLOWEST_S}",
        f"-artifact_prefix={finds}/",
        "-rss_limit_mb=0",  # the address space is limited already
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], corpus, *options], CORES[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

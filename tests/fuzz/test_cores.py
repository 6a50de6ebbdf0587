"""Every core with inputs that hypothesis makes: the quick form of `make fuzz`, the same inputs every time."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.deep import DEEP, examples
from tests.fuzz.cores import CORES
from tests.fuzz.seeds import seeds

FINDS = Path(__file__).parent / "finds"
# Long runs of one byte, and numbers at the edges of their fields, are what random bytes hardly ever hold.
pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\x00" * 64, b"\xff" * 64, b"$\x00\x00\x00", b"\r\n\r\n", b"RTSP/1.0 200 OK\r\n", b"moof", b"mdat"]
    ),
    st.integers(0, 2**32 - 1).map(lambda number: number.to_bytes(4, "big")),
)
inputs = st.lists(pieces, max_size=24).map(b"".join)


@pytest.mark.parametrize("name", CORES)
@settings(
    derandomize=not DEEP,
    database=None,
    deadline=None,
    max_examples=examples(200),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=inputs)
@example(data=b"")
def test_no_input_breaks_a_core(name: str, data: bytes) -> None:
    CORES[name](data)


@pytest.mark.parametrize("name", CORES)
def test_well_formed_input_passes(name: str) -> None:
    for seed in seeds(name):
        CORES[name](seed)


@pytest.mark.parametrize("find", sorted(FINDS.glob("*/*")), ids=lambda find: f"{find.parent.name}-{find.name}")
def test_what_was_found_once_stays_mended(find: Path) -> None:
    CORES[find.parent.name](find.read_bytes())

"""Fixtures that every kind of test shares."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edged.base.clock import ManualClock
from tests.deep import examples

# For generated tests that name no number of their own. None is judged by how long it took: machines are busy.
settings.register_profile(
    "edged",
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("edged")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()

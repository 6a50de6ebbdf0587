"""Fixtures that every kind of test shares."""

from pathlib import Path

import pytest

from edged.base.clock import ManualClock

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()

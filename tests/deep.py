"""How far the generated tests go: as far as `make test` has time for, or far (`make test-deep`, EDGED_DEEP=1)."""

import os

DEEP = os.environ.get("EDGED_DEEP") == "1"


def examples(usual: int) -> int:
    """How many examples to try where `make test` tries `usual`."""
    return 10 * usual if DEEP else usual

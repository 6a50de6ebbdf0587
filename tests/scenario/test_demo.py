"""The demo is what newcomers see first: it must happen, and end by itself."""

import subprocess
import sys


def test_the_demo_tells_the_whole_story_and_ends_by_itself() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "simulators", "demo", "--seconds", "45"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "all chapters happened" in told.stdout
    assert "frames recorded = frames sent" in told.stdout

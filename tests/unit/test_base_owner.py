"""What root does by hand does not lock the service out."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from edged.base.owner import become_owner
become_owner(*map(Path, sys.argv[1:]))
Path(sys.argv[-1], "made").touch()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def made_by(*folders: Path) -> tuple[int, int]:
    """Owner and group of a file that a process makes in the last of `folders` once it has become their owner."""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", SCRIPT, *map(str, folders)], cwd=root, check=True, timeout=60)
    made = (folders[-1] / "made").stat()
    return made.st_uid, made.st_gid


@needs_root
@pytest.mark.parametrize("owner", [(54321, 54322), (65534, 65534)], ids=["without a name", "with a name"])
def test_root_goes_on_as_the_owner_of_the_first_folder_that_is_there(owner: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as within:  # pytest's own are closed to others
        Path(within).chmod(0o755)
        folder = Path(within, "state")
        folder.mkdir()
        os.chown(folder, *owner)
        assert made_by(Path(within, "missing"), folder) == owner


@needs_root
def test_root_stays_root_where_the_folder_is_roots(tmp_path: Path) -> None:
    assert made_by(tmp_path) == (0, 0)

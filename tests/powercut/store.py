"""A disk's tree as plain files in a folder: read when it is mounted, written when it is unmounted or cut."""

import os
import shutil
from pathlib import Path

from tests.powercut.disk import Disk, File, Folder, Node


def load(disk: Disk, backing: Path) -> None:
    """Fill an empty disk with what is in `backing`, all of it durable; hard links stay links. Raises OSError."""
    seen: dict[tuple[int, int], File] = {}

    def fill(folder: Folder, at: Path) -> None:
        for entry in sorted(os.scandir(at), key=lambda entry: entry.name):
            status = entry.stat(follow_symlinks=False)
            mode = status.st_mode & 0o7777
            if entry.is_dir(follow_symlinks=False):
                fill(disk.make_folder(folder, entry.name, mode, status.st_mtime_ns), Path(entry.path))
                continue
            known = seen.get((status.st_dev, status.st_ino))
            if known is not None:
                disk.link(known, folder, entry.name, status.st_mtime_ns)
                continue
            file = disk.create(folder, entry.name, mode, status.st_mtime_ns)
            disk.write(file, 0, Path(entry.path).read_bytes(), status.st_mtime_ns)
            seen[status.st_dev, status.st_ino] = file

    fill(disk.root, backing)
    disk.sync_everything()


def save(root: Folder, backing: Path) -> None:
    """Make `backing` hold what the tree's live names lead to, and nothing else. Raises OSError."""
    for entry in list(os.scandir(backing)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    written: dict[int, Path] = {}

    def put(node: Node, at: Path) -> None:
        if isinstance(node, Folder):
            at.mkdir()
            for name, child in node.live.items():
                put(child, at / name)
        elif node.number in written:
            os.link(written[node.number], at)
            return
        elif isinstance(node, File):
            at.write_bytes(node.live)
            written[node.number] = at
        os.chmod(at, node.mode)
        os.utime(at, ns=(node.mtime_ns, node.mtime_ns))

    for name, child in root.live.items():
        put(child, backing / name)

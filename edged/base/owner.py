"""Whose process it is: what root writes by hand must not be beyond the service's reach afterwards."""

import os
import pwd
from pathlib import Path


def become_owner(*folders: Path) -> None:
    """Where root runs this process, go on for good as the owner of the first of `folders` that is there.

    Nothing changes where that is root too, where none is there, or where somebody else runs it. An index, a journal or
    a copy of the ledger that root makes beside the service's own is one that the service cannot open again.
    Raises OSError.
    """
    if os.geteuid() != 0:
        return
    found = next((folder.stat() for folder in folders if folder.exists()), None)
    if found is None or found.st_uid == 0:
        return
    try:
        os.initgroups(pwd.getpwuid(found.st_uid).pw_name, found.st_gid)
    except KeyError:  # an owner without a name
        os.setgroups([])
    os.setgid(found.st_gid)
    os.setuid(found.st_uid)

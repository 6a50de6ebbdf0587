"""Telling systemd how the service is: one datagram each (sd_notify(3)). Silent where systemd did not start us."""

import os
import socket


def notify(state: str) -> bool:
    """Send `state` (``READY=1``, ``STATUS=...``, ``WATCHDOG=1``, ``STOPPING=1``) to the service manager.

    Returns whether it was sent. Never raises: a service manager that does not listen is no reason to stop recording.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address[0] == "@":  # a socket in the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_interval_us() -> int | None:
    """Microseconds within which systemd wants ``WATCHDOG=1``, or None where this process is not watched."""
    pid = os.environ.get("WATCHDOG_PID")
    if pid is not None and pid != str(os.getpid()):
        return None
    try:
        interval = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return interval if interval > 0 else None

"""A camera's listening sockets."""

import socket


def listen(address: str, port: int) -> socket.socket:
    """A listening socket at this address: on this port, or on any where it is taken. Raises OSError."""
    for wanted in (port, 0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, wanted))
            sock.listen(128)
        except OSError as error:
            sock.close()
            cause = error
        else:
            return sock
    raise OSError(
        cause.errno, f"cannot listen at {address}: {cause.strerror}; the subnet must be this machine's own"
    ) from cause

"""Asks the kernel whether something disciplines its clock (adjtimex(2))."""

import ctypes

_STA_UNSYNC = 0x0040  # linux/timex.h: the clock is unsynchronised
_TIME_ERROR = 5  # the call's result when it is, or when the error estimate has grown past 16 s


class _Timex(ctypes.Structure):
    """The head of struct timex; the rest is room for what the kernel writes behind it (208 bytes on 64 bits)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_ubyte * 512),
    )


def kernel_ntp_synchronised() -> bool:
    """True where the kernel's clock is synchronised by a time service. False where it is not, or where nobody can say.

    Stepping the clock by hand clears the flag in the kernel, so a step cannot corroborate itself.
    """
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    state = _Timex()  # modes 0: read only
    result: int = adjtimex(ctypes.byref(state))
    return result not in (-1, _TIME_ERROR) and not state.status & _STA_UNSYNC

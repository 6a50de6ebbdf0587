"""Why a stream is not being recorded, as errors: each carries the cause that the journal and the status name.

No message here quotes an address, a URL or what a camera calls itself (I9).
"""

from edged.base.errors import EdgedError, Fatal, OwnerMustAct, TryAgain
from edged.model import Cause


class StreamFailed(EdgedError):
    """A session ended or could not begin; never raised itself."""

    cause = Cause.UNKNOWN
    code = "REC-020"


class Unreachable(StreamFailed, TryAgain):
    """No connection to the camera."""

    cause = Cause.UNREACHABLE
    code = "REC-021"
    hint = "check the camera's power, cable and address"


class WrongCredentials(StreamFailed, OwnerMustAct):
    """The camera rejects user name or password."""

    cause = Cause.CREDENTIALS
    code = "REC-022"
    hint = "correct the camera's user name and password in the configuration"


class CameraRefused(StreamFailed, TryAgain):
    """The camera answered a request with an error."""

    cause = Cause.REFUSED
    code = "REC-023"
    hint = "check the stream's path, and whether the camera has reached its number of viewers"


class Stalled(StreamFailed, TryAgain):
    """The connection stays, frames stop."""

    cause = Cause.STALLED
    code = "REC-024"
    hint = "reconnecting; if it keeps happening check the camera and the network on the way"


class Closed(StreamFailed, TryAgain):
    """The camera or the network ended a running stream."""

    cause = Cause.CLOSED
    code = "REC-025"
    hint = "reconnecting; if it keeps happening check the camera and the network on the way"


class BadStream(StreamFailed, TryAgain):
    """What the camera sends cannot be recorded."""

    cause = Cause.PROTOCOL
    code = "REC-026"
    hint = "set the camera's stream to H.264, H.265 or MJPEG; if it is, its firmware breaks the protocol"


class VolumeFenced(StreamFailed, TryAgain):
    """The volume the stream is written to cannot be used."""

    cause = Cause.DISK
    code = "REC-027"
    hint = "see the volume's state for the reason"


class NoRoom(StreamFailed, OwnerMustAct):
    """The stream is not recorded because its volume is full of footage that must be kept."""

    cause = Cause.DISK
    code = "REC-029"
    hint = "add a disk or free space on the volume; `edged retention plan` says how much the law wants"


class UntrustedCamera(StreamFailed, OwnerMustAct):
    """Whoever answers at the camera's address over TLS is not proven to be the camera."""

    cause = Cause.UNREACHABLE
    code = "REC-028"
    hint = "check the camera's certificate, tls_ca and tls_pin"


class AlreadyRunning(Fatal):
    """Another process of this recorder holds the lock."""

    code = "REC-030"
    hint = "stop the other one first; two would record every camera twice"


class StateUnusable(Fatal):
    """The recorder's state folder cannot be used."""

    code = "REC-031"
    hint = "check that the state folder exists and that this user may write to it"


class RecorderAbsent(TryAgain):
    """No recorder answers on its status socket."""

    code = "REC-032"
    hint = "check that the recorder's service runs"

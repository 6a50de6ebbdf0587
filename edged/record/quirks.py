"""What cameras do otherwise than their standards say, by name: recorded all the same, and said once per stream."""

from collections.abc import Callable
from enum import StrEnum


class Quirk(StrEnum):
    """A closed list: the status names them, and the manual explains each."""

    NO_SPROP = "no-sprop"
    WRONG_CLOCK_RATE = "wrong-clock-rate"
    TIMESTAMP_JUMP = "timestamp-jump"
    NO_MARKER = "no-marker"
    SSRC_CHANGE = "ssrc-change"
    SEQUENCE_JUMP = "sequence-jump"
    PARAMETERS_CHANGE = "parameters-change"
    B_FRAMES = "b-frames"
    LONG_GOP = "long-gop"
    NO_IDR = "no-idr"
    OPEN_GOP = "open-gop"
    PADDING = "padding"
    EXTENSION = "extension"
    GARBAGE = "garbage"
    STRAY_PACKETS = "stray-packets"
    AUDIO_UNUSABLE = "audio-unusable"

    @property
    def meaning(self) -> str:
        """A sentence for the log and the manual."""
        return _MEANINGS[self]


OnQuirk = Callable[[Quirk], None]

_MEANINGS = {
    Quirk.NO_SPROP: "its description leaves out what a decoder needs; it is taken from the stream",
    Quirk.WRONG_CLOCK_RATE: "its timestamps run at another rate than they should; frames are placed by arrival",
    Quirk.TIMESTAMP_JUMP: "its timestamps jumped; a new segment began",
    Quirk.NO_MARKER: "it does not mark the last packet of a frame; the next frame's first packet ends it",
    Quirk.SSRC_CHANGE: "it changed its RTP source in the middle of a session",
    Quirk.SEQUENCE_JUMP: "its packet numbers began anew in the middle of a session; a loss there cannot be counted",
    Quirk.PARAMETERS_CHANGE: "it changed picture size or coding in the middle of a session; a new segment began",
    Quirk.B_FRAMES: "it sends frames in another order than they are shown",
    Quirk.LONG_GOP: "its keyframes are more than ten seconds apart; segments can begin only there",
    Quirk.NO_IDR: "it sends recovery points in the place of IDR pictures; segments begin there",
    Quirk.OPEN_GOP: "its keyframes come before pictures shown earlier; where a segment begins these are left out",
    Quirk.PADDING: "it pads RTP packets",
    Quirk.EXTENSION: "it sends RTP header extensions; they are taken off",
    Quirk.GARBAGE: "it sends bytes between packets that are no packets; they are passed over",
    Quirk.STRAY_PACKETS: "it sends packets of tracks that were not asked for; they are passed over",
    Quirk.AUDIO_UNUSABLE: "its audio cannot be recorded; the video is",
}

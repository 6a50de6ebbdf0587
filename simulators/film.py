"""What the film of a simulated camera must be, and what cannot be filmed."""

from dataclasses import dataclass

from simulators import mjpeg

CODECS = ("h264", "h265", "mjpeg")


class ClipError(ValueError):
    """The asked film cannot be made; the message says why and what to change."""


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """What the film must be. `bitrate` in bits per second, `gop` in frames from keyframe to keyframe, `bframes` how
    many pictures in a row may be coded from later ones. With `open_gop` these reach across keyframes, of which only the
    film's first is an IDR picture: the others are recovery points (H.264) or CRA pictures (H.265).
    """

    width: int = 640
    height: int = 360
    fps: int = 25
    gop: int = 50
    bitrate: int = 1_000_000
    codec: str = "h264"
    bframes: int = 0
    open_gop: bool = False

    def __post_init__(self) -> None:
        """Raise ClipError for what cannot be filmed."""
        if self.codec not in CODECS:
            raise ClipError(f"codec {self.codec}: want one of {', '.join(CODECS)}")
        if not (16 <= self.width <= 7680 and 16 <= self.height <= 4320) or self.width % 2 or self.height % 2:
            raise ClipError(f"size {self.width}x{self.height}: want even numbers from 16x16 to 7680x4320")
        if not 1 <= self.fps <= 120:
            raise ClipError(f"{self.fps} frames per second: want 1 to 120")
        if not 1 <= self.gop <= 7500:
            raise ClipError(f"a GOP of {self.gop} frames: want 1 to 7500")
        if not 8_000 <= self.bitrate <= 200_000_000:
            raise ClipError(f"{self.bitrate} bit/s: want 8k to 200M")
        if not 0 <= self.bframes <= 8:
            raise ClipError(f"{self.bframes} B-frames in a row: want 0 to 8")
        if self.open_gop and not self.bframes:
            raise ClipError("open GOPs need B-frames: want 1 or more")
        if self.codec == "mjpeg":
            self._check_jpeg()

    def _check_jpeg(self) -> None:
        if self.bframes:
            raise ClipError("mjpeg knows no B-frames: want 0")
        if max(self.width, self.height) > mjpeg.LARGEST_SIDE or self.width % 8 or self.height % 8:
            raise ClipError(
                f"size {self.width}x{self.height}: for mjpeg want multiples of 8 up to {mjpeg.LARGEST_SIDE} (RFC 2435)"
            )
        if self.height < mjpeg.first_lines(self.width) + 16:
            raise ClipError(f"size {self.width}x{self.height}: too small for the mark in the picture; want 160x120")

    @property
    def frames(self) -> int:
        """Frames in the clip: an even number of GOPs, two seconds or more."""
        pairs = max(1, -(-2 * self.fps // (2 * self.gop)))
        return 2 * self.gop * pairs

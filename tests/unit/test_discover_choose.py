"""Which profile is recorded, and what is said where none can be."""

from itertools import permutations

from edged.discover.choose import choose_main
from edged.discover.port import Profile


def profile(token: str, codec: str, width: int = 0, height: int = 0, fps: float = 25.0, kbps: int = 0) -> Profile:
    return Profile(token=token, name="", codec=codec, width=width, height=height, fps=fps, bitrate_kbps=kbps)


def test_the_largest_h264_picture_wins_in_whatever_order() -> None:
    offered = [
        profile("sub", "H264", 640, 360),
        profile("main", "H264", 1920, 1080),
        profile("huge", "H265", 3840, 2160),
        profile("still", "JPEG", 4000, 3000),
    ]
    for order in permutations(offered):
        chosen = choose_main(order).profile
        assert chosen is not None
        assert chosen.token == "main"


def test_between_equal_pictures_the_higher_rate_then_the_cameras_order() -> None:
    first, second = profile("a", "H264", 640, 360), profile("b", "H264", 640, 360)
    assert choose_main([first, second]).profile == first
    faster = profile("c", "H264", 640, 360, fps=30.0)
    assert choose_main([first, faster]).profile == faster
    richer = profile("d", "H264", 640, 360, kbps=4000)
    assert choose_main([first, richer]).profile == richer


def test_a_camera_that_tells_no_sizes_is_still_recorded() -> None:
    chosen = choose_main([profile("only", "H264")]).profile
    assert chosen is not None
    assert chosen.token == "only"


def test_why_none_fits_is_said() -> None:
    assert choose_main([]) == choose_main(())
    assert choose_main([]).profile is None
    assert "no media profile" in choose_main([]).because
    choice = choose_main([profile("a", "H265", 1, 1), profile("b", ""), profile("c", "JPEG")])
    assert choice.profile is None
    assert "H265, JPEG, no video" in choice.because

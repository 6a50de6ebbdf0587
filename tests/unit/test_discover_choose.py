"""Which profile is recorded, and what is said where none can be."""

from itertools import permutations

from edged.discover.choose import choose_main, choose_sub
from edged.discover.port import Profile


def profile(token: str, codec: str, width: int = 0, height: int = 0, fps: float = 25.0, kbps: int = 0) -> Profile:
    return Profile(token=token, name="", codec=codec, width=width, height=height, fps=fps, bitrate_kbps=kbps)


def test_the_largest_picture_wins_in_whatever_order() -> None:
    offered = [
        profile("sub", "H264", 640, 360),
        profile("main", "H264", 1920, 1080),
        profile("huge", "H265", 3840, 2160),
        profile("still", "JPEG", 4000, 3000),
    ]
    for order in permutations(offered):
        chosen = choose_main(order).profile
        assert chosen is not None
        assert chosen.token == "huge"
        sub = choose_sub(order, chosen).profile
        assert sub is not None
        assert sub.token == "sub"


def test_between_pictures_of_one_size_h264_wins_over_h265() -> None:
    newer, older = profile("a", "H265", 1920, 1080, fps=50.0), profile("b", "H264", 1920, 1080)
    assert choose_main([newer, older]).profile == older
    third = profile("c", "H264", 1920, 1080, kbps=1)
    assert choose_sub([newer, older, third], older).profile == third


def test_motion_jpeg_is_recorded_where_there_is_nothing_else() -> None:
    still = profile("still", "JPEG", 1280, 720)
    assert choose_main([still, profile("audio", "")]).profile == still
    assert choose_main([still, profile("tiny", "H264", 16, 16)]).profile == profile("tiny", "H264", 16, 16)


def test_a_camera_with_one_profile_has_no_small_stream() -> None:
    only = profile("only", "H264", 640, 360)
    choice = choose_sub([only, profile("still", "JPEG", 64, 36)], only)
    assert choice.profile is None
    assert "no second" in choice.because


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
    choice = choose_main([profile("a", "MPV4-ES", 1, 1), profile("b", "")])
    assert choice.profile is None
    assert "it offers MPV4-ES, no video" in choice.because

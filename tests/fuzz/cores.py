"""What each pure part of the recorder promises for any input, as functions from bytes that raise where it is broken.

The only errors a part may raise are the declared ones (StreamFailed); whatever else comes out, or an AssertionError
of the core's own, is a find. Every core's work is bounded by its input's length, so that a hang shows as a timeout.
"""

from collections.abc import Callable, Mapping

from tests.fuzz import container, media, talk

Core = Callable[[bytes], None]

CORES: Mapping[str, Core] = {
    core.__name__: core
    for core in (
        talk.messages,
        talk.conversation,
        talk.challenges,
        talk.replies,
        talk.descriptions,
        media.packets,
        media.interleaved,
        media.h264,
        media.h265,
        media.jpeg,
        media.with_audio,
        media.audio,
        media.udp,
        container.parameter_sets,
        container.samples,
        container.files,
    )
}

"""Memory for fragments: used again where it fits, and never more of it kept than was said."""

from edged.record.buffers import SPARE_BYTES, STEP, Shelf


def used(shelf: Shelf, size: int) -> memoryview:
    return memoryview(shelf.take(size))[: size // 2]


def test_a_buffer_is_used_again() -> None:
    shelf = Shelf()
    body = used(shelf, 3 * STEP)
    buffer = body.obj
    shelf.put_back(body)
    assert shelf.take(3 * STEP - 7) is buffer
    assert shelf.take(3 * STEP) is not buffer, "whoever has it has it alone"


def test_one_that_is_too_small_or_far_too_large_is_left_to_others() -> None:
    shelf = Shelf()
    bodies = [used(shelf, steps * STEP) for steps in (1, 5)]
    for body in bodies:
        shelf.put_back(body)
    taken = shelf.take(2 * STEP)
    assert taken not in [body.obj for body in bodies]
    assert len(taken) == 2 * STEP
    assert shelf.take(3 * STEP) is bodies[1].obj


def test_those_that_lie_longest_are_given_back_first() -> None:
    shelf = Shelf()
    fits = SPARE_BYTES // (4 * STEP)
    old = [used(shelf, 9 * STEP) for _ in range(3)]
    new = [used(shelf, 4 * STEP) for _ in range(fits)]
    for body in old + new:
        shelf.put_back(body)
    assert shelf.take(9 * STEP) not in [body.obj for body in old]
    again = [shelf.take(4 * STEP) for _ in range(fits)]
    assert {id(buffer) for buffer in again} == {id(body.obj) for body in new}


def test_one_that_is_larger_than_all_that_may_be_kept_is_not_kept() -> None:
    shelf = Shelf()
    body = used(shelf, SPARE_BYTES + 1)
    shelf.put_back(body)
    assert shelf.take(SPARE_BYTES + 1) is not body.obj

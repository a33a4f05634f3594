"""How long the log may grow, by how much room there is."""

import pytest

from carousel.service.sessions.stores.sqlite.log_bound import FRAME_BYTES, PAGE_BYTES, bound_log

MIB = 1 << 20


def test_where_there_is_plenty_it_is_what_it_was() -> None:
    """A checkpoint begins at 32 MB, and steps wait at 256 MB, whatever the disk has."""
    for room in (1030 * MIB, 1 << 40):
        bound = bound_log(room)
        assert (bound.begin, bound.rest, bound.most) == (8192, 512, 65_536)


@pytest.mark.parametrize("mebibytes", [0.5, 1, 6, 24, 100, 500])
def test_log_and_what_it_adds_to_the_file_take_half_of_the_room(mebibytes: float) -> None:
    """Also if each of its pages is new to the file."""
    room = int(mebibytes * MIB)
    bound = bound_log(room)
    assert 0 < bound.rest < bound.begin < bound.most
    assert bound.most_bytes == bound.most * FRAME_BYTES
    assert bound.most * (FRAME_BYTES + PAGE_BYTES) <= room / 2


def test_more_room_is_never_a_shorter_log() -> None:
    """And with next to none there is still a log that one can work with."""
    before = bound_log(0)
    assert before.begin > before.rest > 0
    for room in range(0, 300 * MIB, MIB // 3):
        bound = bound_log(room)
        assert bound.begin >= before.begin
        assert bound.most >= before.most
        before = bound

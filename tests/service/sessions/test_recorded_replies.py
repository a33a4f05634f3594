"""Recorded replies: which are kept, and that a repeat is answered with the same bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.models.row import Array
from carousel.service.errors import PositionConflict, ReplyNotKept
from carousel.service.sessions.recorded_reply import (
    RecordedReply,
    add_reply,
    digest,
    num_replies,
    unpack_replies,
)
from tests.harness.rig import LAYOUT, Rig, play, sums

KB = 1 << 10
MB = 1 << 20


def _output(nbytes: int) -> dict[str, Array]:
    return {"y": np.zeros(nbytes, np.uint8)}


def _keep(sizes: list[int]) -> tuple[RecordedReply, ...]:
    """The replies that are kept after steps whose outputs had these sizes."""
    replies = b""
    for base, size in enumerate(sizes):
        replies = add_reply(replies, base, base + 1, {}, _output(size))
    kept = unpack_replies(replies)
    assert num_replies(replies) == len(kept)
    return kept


def test_a_reply_is_unpacked_as_it_was_given() -> None:
    """Names, dtypes, shapes and values of every output; base, position and the inputs' digest."""
    outputs: dict[str, Array] = {
        "y": np.arange(6, dtype=np.float32).reshape(3, 2),
        "größe": np.array([True, False]),
        "none": np.zeros((0, 4), np.int64),
        "half": np.array([[1.5]], np.float16),
    }
    inputs: dict[str, Array] = {"x": np.arange(3)}
    first = add_reply(b"", 2**40, 2**40 + 3, inputs, outputs)
    both = add_reply(first, 2**40 + 3, 2**40 + 4, {}, {"y": np.array([7.0])})
    older, last = unpack_replies(both)
    assert (older.base, older.position, older.digest) == (2**40, 2**40 + 3, digest(inputs))
    assert older.outputs is not None
    assert last.outputs is not None
    assert list(older.outputs) == list(outputs)
    for name, expected in outputs.items():
        np.testing.assert_array_equal(older.outputs[name], expected, strict=True)
    np.testing.assert_array_equal(last.outputs["y"], np.array([7.0]), strict=True)
    assert not older.outputs["y"].flags.writeable


def test_up_to_eight_small_replies_are_kept() -> None:
    """Of twenty small replies the last eight, oldest first."""
    assert [reply.base for reply in _keep([100] * 20)] == list(range(12, 20))


def test_older_replies_are_kept_under_four_kilobytes_together() -> None:
    """Replies of 1.5 KB: the last two fit together, a third does not."""
    assert [reply.base for reply in _keep([3 * KB // 2] * 6)] == [4, 5]


def test_the_last_reply_is_kept_up_to_a_megabyte() -> None:
    """A megabyte is kept, alone; a byte more is recorded as done without its outputs."""
    kept = _keep([10, 10, MB])
    assert [(reply.base, reply.nbytes) for reply in kept] == [(2, MB)]
    last = _keep([10, 10, MB + 1])[-1]
    assert (last.base, last.outputs) == (2, None)


def test_a_megabyte_is_counted_over_all_outputs() -> None:
    """Several outputs share the megabyte."""
    half = np.zeros(MB // 2 + 1, np.uint8)
    (reply,) = unpack_replies(add_reply(b"", 0, 1, {}, {"a": half, "b": half}))
    assert reply.outputs is None


@given(st.lists(st.sampled_from([1, 400, 2 * KB, 5 * KB, 2 * MB]), min_size=1, max_size=24))
def test_the_very_last_step_is_always_recorded(sizes: list[int]) -> None:
    """Whatever came before: the last is there, eight at most, and the older ones are small."""
    kept = _keep(sizes)
    assert kept[-1].base == len(sizes) - 1
    assert len(kept) <= 8
    assert [reply.base for reply in kept] == list(range(len(sizes) - len(kept), len(sizes)))
    assert len(kept) == 1 or sum(reply.nbytes for reply in kept) <= 4 * KB


def test_the_same_inputs_are_equal_after_decoding() -> None:
    """Names in any order and any memory layout: names, dtypes, shapes and values decide."""
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(2)
    assert digest({"a": a, "b": b}) == digest({"b": b, "a": np.asfortranarray(a)})
    others: list[dict[str, Array]] = [
        {"a": a, "c": b},
        {"a": a.astype(np.float64), "b": b},
        {"a": a.reshape(3, 2), "b": b},
        {"a": a + 1, "b": b},
        {"a": a},
        {"b": a, "a": b},
    ]
    assert len({digest(each) for each in others} | {digest({"a": a, "b": b})}) == 7


def test_a_repeat_has_the_same_bytes_and_moves_nothing() -> None:
    """Each of the last eight steps can be asked again, in any order, as often as one likes."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            first = [await rig.step("s", n, n + 1, position=2 * n) for n in range(10)]
            runs = len(rig.backend.batches)
            for n in (9, 2, 5, 2, 9):
                again = await rig.step("s", n, n + 1, position=2 * n)
                assert again.replayed
                assert again.position == first[n].position == 2 * n + 2
                before, after = first[n].outputs["output"], again.outputs["output"]
                assert (before.tobytes(), before.dtype, before.shape) == (
                    after.tobytes(),
                    after.dtype,
                    after.shape,
                )
            with pytest.raises(PositionConflict):
                await rig.step("s", 1, 2, position=2)
            assert len(rig.backend.batches) == runs
            assert (await rig.info("s")).position == 20

    play(scenario)


def test_a_repeat_survives_the_session_leaving_memory() -> None:
    """The record is the store's: a session that was given up and loaded again replays."""

    async def scenario() -> None:
        async with Rig(num_slots=2) as rig:
            await rig.open("s")
            await rig.step("s", 3, position=0)
            await rig.crowd_out()
            assert rig.sessions.peek("", "s") is None
            again = await rig.step("s", 3, position=0, return_state=True)
            assert (again.replayed, sums(again)) == (True, [3])
            assert again.state is not None
            assert again.state["h"].tolist() == [[3, 3]]

    play(scenario)


def test_a_repeat_with_its_state_is_the_very_last_steps() -> None:
    """return_state on a repeat gives the state after it; of an older step it is not kept."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            first = await rig.step("s", 3, position=0, return_state=True)
            again = await rig.step("s", 3, position=0, return_state=True)
            assert first.state is not None
            assert again.state is not None
            assert LAYOUT.pack(first.state) == LAYOUT.pack(again.state)
            await rig.step("s", 4, position=1)
            with pytest.raises(ReplyNotKept) as caught:
                await rig.step("s", 3, position=0, return_state=True)
            assert caught.value.fields == {"position": 2}
            assert (await rig.step("s", 3, position=0)).replayed

    play(scenario)


def test_a_reply_beyond_a_megabyte_is_not_replayed_and_not_run_again() -> None:
    """A step with more than a megabyte of outputs counts once; its repeat is reply_not_kept."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            many = [1.0] * (MB // 8 + 1)
            await rig.step("s", *many, position=0)
            with pytest.raises(ReplyNotKept) as caught:
                await rig.step("s", *many, position=0)
            assert caught.value.fields == {"position": len(many)}
            assert await rig.total("s") == len(many)

    play(scenario)


def test_a_look_is_never_recorded() -> None:
    """commit=false answers with its state, moves nothing, and its repeat is no replay."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            for _ in range(2):
                look = await rig.step("s", 5, position=0, commit=False, return_state=True)
                assert (look.replayed, look.position, sums(look)) == (False, 1, [5])
                assert look.state is not None
                assert look.state["h"].tolist() == [[5, 5]]
            assert (await rig.info("s")).position == 0
            step = await rig.step("s", 5, position=0)
            assert (step.replayed, sums(step)) == (False, [5])

    play(scenario)


def test_reset_and_written_state_clear_the_replies_and_fork_leaves_them_behind() -> None:
    """Nothing is replayed from before a reset or a written state, nor in a fork."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 1, position=0)
            await rig.sessions.fork("", "s", session_ids=["f"])
            with pytest.raises(PositionConflict):
                await rig.step("f", 1, position=0)
            assert (await rig.step("s", 1, position=0)).replayed
            await rig.sessions.reset("", "s")
            assert not (await rig.step("s", 1, position=0)).replayed
            state = (await rig.sessions.read_state("", "s")).state
            await rig.sessions.write_state("", "s", state, 1)
            with pytest.raises(PositionConflict):
                await rig.step("s", 1, position=0)

    play(scenario)

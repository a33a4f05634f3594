"""A row of columns at fault costs no other row anything: values, positions, ids."""

import numpy as np
import pytest

from tests.harness.inside import Service, serve
from tests.service.api.v1.columnar.asking import (
    ENCODINGS,
    TENSORS,
    Asking,
    ask_witness,
    open_all,
    plain_body,
    post_body,
    sums,
)

IDS = ["a", "b", "c"]
ONES = np.ones((3, 2), np.float32)

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=["json", "tensors"])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_its_rows_fault(wrong: float) -> None:
    """In binary; with time and packed too. The row's session stays, and says where it stands."""

    async def scenario(asking: Asking) -> None:
        await open_all(asking.service, *IDS)
        told = await asking.ask(IDS, [1, wrong, 1])
        assert sums(told) == [1, None, 1]
        assert told.codes == {1: "non_finite_input"}
        assert told.errors[1]["detail"].startswith("x[1][0]: ")
        timed = await asking.ask(IDS, [[1, 1], [1, wrong], [1, 1]])
        assert timed.errors[1]["detail"].startswith("x[1][1][0]: ")
        packed = await asking.ask(IDS, [1, 1, wrong, 1, 1], lengths=[1, 3, 1])
        assert packed.errors[1]["detail"].startswith("x[2][0]: ")
        assert packed.positions == [4, 0, 4]
        assert sums(packed) == [4, None, None, None, 4]

    ask_witness(scenario, TENSORS)


def test_a_value_that_cannot_be_read_is_its_rows_fault() -> None:
    """In JSON: a number beyond float32, a string, a boolean, a row too short or not a list."""

    async def scenario(service: Service) -> None:
        await open_all(service, *IDS)
        for wrong, code, place in (
            ([1, 1e39], "non_finite_input", "inputs[1][1]: "),
            ([1, 2**200], "non_finite_input", "inputs[1][1]: "),
            (["1", 1], "invalid_request", "inputs[1][0]: "),
            ([True, 1], "invalid_request", "inputs[1][0]: "),
            ([1, None], "invalid_request", "inputs[1][1]: "),
            ([1], "shape_mismatch", "inputs[1]: "),
            ([], "shape_mismatch", "inputs[1]: "),
            ([1, [1]], "shape_mismatch", "inputs[1][1]: "),
            ("no list", "invalid_request", "inputs[1]: "),
            ({"1": 1, "2": 2}, "invalid_request", "inputs[1]: "),
        ):
            answer = await post_body(service, plain_body(inputs=[[1, 1], wrong, [1, 1]]))
            document = answer.json()
            assert [*document["errors"]] == ["1"], wrong
            assert document["errors"]["1"]["code"] == code, wrong
            assert document["errors"]["1"]["detail"].startswith(place), document
            assert document["outputs"][1] is None
            assert document["outputs"][0] is not None
        assert document["positions"] == [10, 0, 10]

    serve(scenario)


@each_encoding
def test_a_position_or_id_at_fault_is_its_rows(encoding: str) -> None:
    """What can be no position; an id that none can be opened by, one of the server's own, two in
    one.
    """

    async def scenario(asking: Asking) -> None:
        await open_all(asking.service, "a", "b")
        told = await asking.ask(["a", "b"], [1, 1], positions=[-2, 0])
        assert (told.codes, sums(told)) == ({0: "invalid_request"}, [None, 1])
        ids = ["a b", "v2.0", "x\ny", "", "-x", "y" * 129, "y" * 128]
        told = await asking.ask(ids, [1] * 7, open=True)
        assert told.codes == dict.fromkeys(range(6), "invalid_request")
        assert sums(told)[6] == 1
        assert (await asking.ask(ids[:6], [1] * 6)).codes == dict.fromkeys(
            range(6), "session_not_found"
        )
        # Either half might be opened.
        two = await asking.ask(["x\ny", "z"], [1, 1], open=True)
        assert two.codes == {0: "invalid_request"}
        zero = await asking.ask(["a", "b"], [1], lengths=[0, 1])
        assert (zero.codes, sums(zero)) == ({0: "shape_mismatch"}, [2])

    ask_witness(scenario, encoding)


def test_positions_in_json_are_integers_or_null() -> None:
    """Each other one is its row's fault."""

    async def scenario(service: Service) -> None:
        await open_all(service, *IDS)
        for wrong in (-1, 1.5, "0", True, 2**63, 2**70, [0]):
            told = (await post_body(service, plain_body(positions=[None, wrong, None]))).json()
            assert [*told["errors"]] == ["1"], wrong
            assert told["errors"]["1"]["detail"].startswith("positions[1]: ")

    serve(scenario)

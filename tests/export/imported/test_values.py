"""The values that inputs, constants and first states may have, as flags and files say them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from safetensors.numpy import save_file

from carousel.models.row import Array
from carousel.service.api.encoding.explain import Shape
from carousel.service.api.encoding.tensor import Tensor
from tests.export.imported.foreign.cells import mean
from tests.export.imported.foreign.graphs import cell, onnx_graph
from tests.export.imported.outcome import run_import


def looked_up(*nodes: onnx.NodeProto, table: tuple[int, int] = (50, 6)) -> bytes:
    """A cell of tokens whose `table` these nodes make of the weight, and `ids` of the tokens."""
    weight: Array = np.random.default_rng(0).standard_normal(table).astype(np.float32)
    given = {name for node in nodes for name in node.output}
    rest = [
        helper.make_node("Identity", [source], [name])
        for source, name in (("token", "ids"), ("weight", "table"))
        if name not in given
    ]
    return onnx_graph(
        [
            *nodes,
            *rest,
            helper.make_node("Gather", ["table", "ids"], ["embedded"]),
            helper.make_node("Add", ["embedded", "h"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["hn"]),
            helper.make_node("Identity", ["hn"], ["y"]),
        ],
        {"token": ["N"], "h": ["N", 6]},
        {"y": ["N", 6], "hn": ["N", 6]},
        {"weight": weight, "one": np.array(1, np.int64)},
        {"token": "int64"},
    )


@pytest.mark.parametrize("name", ["x", "h"])
def test_a_range_is_of_integers_that_clients_send(tmp_path: Path, name: str) -> None:
    """Of numbers with a fraction, and of states, there is none."""
    outcome = run_import(tmp_path, cell(), "--range", f"{name}=0..5")
    assert outcome.code == 3
    assert f"--range: {name} is float32, and a range is of integers" in outcome.said
    named = run_import(tmp_path, cell(), "--state", "h=hn", "--range", "h=0..5")
    assert (named.code, "--range: h is no input that clients send" in named.said) == (3, True)


def test_a_range_fits_its_dtype(tmp_path: Path) -> None:
    """An id that the dtype cannot hold is not promised to clients."""
    outcome = run_import(tmp_path, looked_up(), "--range", f"token=0..{2**63}")
    assert (outcome.code, f"which 0..{2**63} is not" in outcome.said) == (3, True)


def test_bounds_of_floats_in_an_artifact_refuse_no_request() -> None:
    """An older importer wrote them; they bound integers, and no others."""
    tensor = Tensor(Shape("float32", (2,), low=0, high=5), max_steps=1)
    assert tensor.read_json([1.0, 9.5], "x", bools=False).tolist() == [1.0, 9.5]
    assert tensor.read_bytes(np.array([1, 9.5], "<f4").tobytes(), "x").tolist() == [1.0, 9.5]
    assert tensor.read_json([1, 2], "x", bools=True).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("nodes", "table", "rows"),
    [
        ((helper.make_node("Identity", ["weight"], ["table"]),), (50, 6), 50),
        ((helper.make_node("Cast", ["weight"], ["table"], to=1),), (50, 6), 50),
        ((helper.make_node("Transpose", ["weight"], ["table"], perm=[1, 0]),), (6, 50), 50),
        ((helper.make_node("Transpose", ["weight"], ["table"]),), (6, 50), 50),
        ((helper.make_node("Transpose", ["weight"], ["table"], perm=[0, 1]),), (50, 6), 50),
    ],
    ids=["identity", "cast", "transposed", "reversed", "as it was"],
)
def test_ids_are_bounded_by_the_table_as_it_is_looked_up(
    tmp_path: Path, nodes: tuple[onnx.NodeProto, ...], table: tuple[int, int], rows: int
) -> None:
    """A tied embedding is the transpose of the weight that is stored."""
    artifact = run_import(tmp_path, looked_up(*nodes, table=table)).artifact
    (given,) = artifact.manifest.spec.sent_inputs
    assert (given.low, given.high) == (0, rows - 1)


def test_a_table_of_another_shape_bounds_nothing(tmp_path: Path) -> None:
    """What is cut or reshaped on the way has other rows than the weight."""
    sliced = helper.make_node("Reshape", ["weight", "shape"], ["table"])
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[50, 6])
    data = looked_up(shape, sliced, table=(25, 12))
    outcome = run_import(tmp_path, data)
    assert (outcome.code, "with --range" in outcome.said) == (1, True)
    (given,) = run_import(
        tmp_path, data, "--range", "token=0..49"
    ).artifact.manifest.spec.sent_inputs
    assert given.high == 49


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        (looked_up(helper.make_node("Add", ["token", "one"], ["ids"])), ()),
        (looked_up(), ("--range", "token=0..51")),
        (looked_up(), ("--range", "token=0..1000000")),
    ],
    ids=["ids and one", "two too many", "far too many"],
)
def test_ids_beyond_the_table_are_refused(
    tmp_path: Path, data: bytes, flags: tuple[str, ...]
) -> None:
    """Whichever run it is that meets one of them."""
    outcome = run_import(tmp_path, data, *flags)
    assert outcome.code == 1, outcome.said
    assert "out of data bounds" in outcome.said.splitlines()[-1]


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3,), (1, 3), (1, 2), (2, 6), (0, 6), (1, 1, 6)])
def test_first_values_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A part of a session's state is not repeated until it fits."""
    save_file({"h": np.zeros(shape, np.float32)}, tmp_path / "initial")
    outcome = run_import(tmp_path, cell(), "--initial", f"{tmp_path / 'initial'}")
    assert outcome.code == 3, outcome.said
    assert f"--initial: h is {shape}" in outcome.said


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (4,)])
def test_first_values_of_a_part_of_a_fold_are_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Where a session has several rows of the batch axis, all of them are given."""
    save_file({"cache": np.zeros(shape, np.float32)}, tmp_path / "initial")
    outcome = run_import(tmp_path, folded(), "--initial", f"{tmp_path / 'initial'}")
    assert outcome.code == 3, outcome.said
    assert "--initial: cache is" in outcome.said


def test_first_values_of_a_fold_are_kept(tmp_path: Path) -> None:
    """All of them together are a session's."""
    first: Array = np.arange(12, dtype=np.float32).reshape(3, 4)
    save_file({"cache": first}, tmp_path / "initial")
    outcome = run_import(tmp_path, folded(), "--initial", f"{tmp_path / 'initial'}")
    stored = outcome.artifact.initial()
    assert stored["cache"].tolist() == first.tolist()


def folded() -> bytes:
    """A cache (B * 3, 4) of the last three frames, of which nothing says so."""
    return onnx_graph(
        [
            helper.make_node("Reshape", ["cache", "split"], ["frames"]),
            helper.make_node("Unsqueeze", ["x", "one"], ["frame"]),
            helper.make_node("Concat", ["frames", "frame"], ["all"], axis=1),
            helper.make_node("Slice", ["all", "one", "end", "one"], ["last"]),
            helper.make_node("Mul", ["all", "weight"], ["weighed"]),
            helper.make_node("ReduceSum", ["weighed", "one"], ["y"], keepdims=0),
            helper.make_node("Reshape", ["last", "joined"], ["cache_next"]),
        ],
        {"x": ["N", 4], "cache": ["M", 4]},
        {"y": ["N", 4], "cache_next": ["M", 4]},
        {
            "split": np.array([-1, 3, 4]),
            "joined": np.array([-1, 4]),
            "one": np.array([1]),
            "end": np.array([10**9]),
            "weight": np.array([[1.0], [2.0], [3.0], [4.0]], np.float32),
        },
    )


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400", "9" * 60, "9" * 400])
def test_constants_are_numbers_that_their_dtype_holds(tmp_path: Path, value: str) -> None:
    """What is no number, or too large for one, is not served with every request."""
    data = cell(
        [helper.make_node("Mul", ["y", "gain"], ["loud"])],
        {"loud": ["N", 3]},
        inputs={"gain": []},
    )
    outcome = run_import(tmp_path, data, "--constant", f"gain={value}")
    assert outcome.code == 3, outcome.said
    assert "--constant: gain is float32" in outcome.said


@pytest.mark.parametrize("flags", [(), ("--state", "h=hn")])
def test_a_state_with_a_value_inside_the_file_is_refused(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """Every run would start from it; the refusal names it and says what to do with the file."""
    start: Array = np.zeros((1, 6), np.float32)
    outcome = run_import(tmp_path, cell(weights={"h": start}), *flags)
    assert outcome.code == 1
    assert "the input h has a value inside the file" in outcome.said


def test_a_range_of_a_state_that_running_finds_is_refused(tmp_path: Path) -> None:
    """Clients do not send it, so nothing would hold it to the range."""
    data = onnx_graph(
        [
            helper.make_node("Add", ["state", "one"], ["state_out"]),
            helper.make_node("Cast", ["state"], ["number"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Add", ["x", "number"], ["y"]),
        ],
        {"x": ["N", 1], "state": ["N", 1]},
        {"y": ["N", 1], "state_out": ["N", 1]},
        {"one": np.array(1, np.int64)},
        {"state": "int64", "state_out": "int64"},
    )
    outcome = run_import(tmp_path, data, "--range", "state=0..5")
    assert outcome.code == 3
    assert "--range: state is a state" in outcome.said


def test_ids_that_fail_are_no_matter_of_rows(tmp_path: Path) -> None:
    """What one run meets and another does not is told by its range, and never by --no-batch."""
    ids = helper.make_node("Abs", ["token"], ["ids"])
    for rows in (70, 80, 90):
        outcome = run_import(tmp_path, looked_up(ids, table=(rows, 6)))
        assert "--no-batch" not in outcome.said
        assert "--range" in outcome.said


def test_a_value_that_fails_is_no_reason_to_read_rows_as_time(tmp_path: Path) -> None:
    """The integer at fault is named, and rows stay rows."""
    found = run_import(tmp_path, mean())
    assert found.code == 1
    assert "the model fails with some values of its integers" in found.said
    assert "Way out: say which they may have: --range count=LOW..HIGH" in found.said
    next_doubt = run_import(tmp_path, mean(), "--range", "count=1..100")
    assert "--state count=count_out" in next_doubt.said
    spec = run_import(
        tmp_path, mean(), "--range", "count=1..100", "--sent", "count", "--sent", "total"
    ).artifact.manifest.spec
    assert spec.has_batch
    assert not spec.has_time

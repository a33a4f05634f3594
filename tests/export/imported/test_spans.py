"""Files that leave their recurrent node no time step where a sequence is short.

ONNX Runtime ends the process on a GRU of none; an LSTM answers with zeros.
"""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.export.imported.foreign.files import Foreign
from tests.export.imported.outcome import run_import
from tests.harness.live import Live

CUT, FEATURES, HIDDEN = 2, 3, 5


def cut(op: str, *, states: bool = False) -> bytes:
    """x (T, B, 3) without its first two steps, through a layer: y (T - 2, B, 5)."""
    rng = np.random.default_rng(5)
    gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[op] * HIDDEN
    stored = {
        "w": rng.standard_normal((1, gates, FEATURES)).astype(np.float32),
        "r": rng.standard_normal((1, gates, HIDDEN)).astype(np.float32),
        "start": np.array([CUT]),
        "end": np.array([1 << 30]),
        "time": np.array([0]),
        "one": np.array([1]),
    }
    given: list[tuple[str, list[str | int]]] = [("x", ["time", "batch", FEATURES])]
    if states:
        given.append(("h", [1, "batch", HIDDEN]))
    nodes = [
        helper.make_node("Slice", ["x", "start", "end", "time"], ["late"]),
        helper.make_node(
            op, ["late", "w", "r", *(["", "", "h"] * states)], ["y4", "h_out"], hidden_size=HIDDEN
        ),
        helper.make_node("Squeeze", ["y4", "one"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cut",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in given],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in (["y", "h_out"] if states else ["y"])
        ],
        [numpy_helper.from_array(each, name) for name, each in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("op", ["GRU", "LSTM", "RNN"])
def test_the_fewest_steps_are_found_and_held(tmp_path: Path, op: str) -> None:
    """Three are answered as the file answers them; two are the client's mistake."""
    made = run_import(tmp_path, cut(op)).artifact
    assert made.manifest.spec.least_steps == CUT + 1
    output = made.manifest.spec.outputs[0]
    assert (output.stride, output.offset) == (1, -CUT)  # of T steps come T - 2
    x = np.random.default_rng(6).standard_normal((CUT + 1, FEATURES)).astype(np.float32)
    wanted = (
        Foreign(op, cut(op), {}, (), {}, {}).run({"x": x[:, None]})["y"][:, 0].astype(np.float32)
    )
    with Live(tmp_path / "models") as live:
        bodies = [{"sequences": [each.tolist()]} for each in (x, x[:CUT])]
        fine, short = (live.client.post("/v1/models/m/infer", json=each) for each in bodies)
        np.testing.assert_allclose(fine.json()["outputs"][0], wanted, rtol=1e-5, atol=1e-6)
        assert short.status_code == 422
        assert "3 or more" in short.json()["detail"]


@pytest.mark.parametrize("op", ["GRU", "LSTM", "RNN"])
def test_no_state_is_handed_on_by_steps_that_are_left_out(tmp_path: Path, op: str) -> None:
    """Refused with what happens, in a process that goes on."""
    outcome = run_import(tmp_path, cut(op, states=True))
    assert outcome.code == 1
    assert "would get no time step" in outcome.said
    assert "Way out: " in outcome.said

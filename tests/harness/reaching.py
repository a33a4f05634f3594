"""Programs that reach outside of themselves: TorchScript that does, ONNX that lies elsewhere.

Each computes what `sums` of tests/harness/layouts.py does, so that its artifact would pass every
other check. What torch does not write itself is written into its archive by hand, as an author who
means harm would.
"""

import io
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

Edit = Callable[[str, bytes], tuple[str, bytes]]

# Where torch puts the source of this file's classes.
_HERE = __name__
_CALL = "    s0 = torch.add(s, torch.sum(x, [1]))\n"
_STATE_OF_CLASS = """
  def __getstate__(self: __torch__.HERE.Sums) -> bool:
    return True
  def __setstate__(self: __torch__.HERE.Sums,
    state: bool) -> NoneType:
    self.training = torch.eq(torch.numel(torch.from_file("FILE", True, 4)), 4)
    self._is_full_backward_hook = None
    return None
"""
_HELPER = """class Helper:
  n : int
  def go(self: __torch__.HERE.Helper,
    s: Tensor) -> Tensor:
    return torch.add(s, torch.from_file("FILE", True, 1))
def free(s: Tensor) -> Tensor:
  return torch.add(s, torch.from_file("FILE", True, 1))
"""


class Sums(nn.Module):
    """A cache with batch axis 0; the output belongs to the last time step."""

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 3), s (B, 3)."""
        s = s + x.sum(1)
        return s * 2, s


class _Native(Sums):
    """The same, and a layer of int8 beside it: a class of native code."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.ao, which announces its end
            self.layer = torch.ao.nn.quantized.dynamic.Linear(3, 3)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        s = s + x.sum(1)
        return s * 2 + 0 * self.layer(s), s


class Warns(Sums):
    """The same, with a warning in each run."""

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        warnings.warn(f"flood of {x.size(1)}")  # noqa: B028, torch.jit knows no stacklevel
        s = s + x.sum(1)
        return s * 2, s


def script_bytes(module: nn.Module) -> bytes:
    """A module as TorchScript, by torch alone."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated TorchScript; the service's are not
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def rewritten(data: bytes, edit: Edit, packed: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with other names and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", packed) as new:
        for name in old.namelist():
            new.writestr(*edit(name, old.read(name)))
    return buffer.getvalue()


def _with_code(change: Callable[[str], str]) -> bytes:
    def edit(name: str, data: bytes) -> tuple[str, bytes]:
        if name.endswith("/reaching.py"):
            data = change(data.decode()).replace("HERE", _HERE).encode()
        return name, data

    return rewritten(script_bytes(Sums()), edit)


def _with_lines(*lines: str, before: str = "") -> bytes:
    added = "".join(f"    {line}\n" for line in lines)
    return _with_code(lambda code: before + code.replace(_CALL, added + _CALL))


def _forgotten(name: str, data: bytes) -> tuple[str, bytes]:
    """Torch finds its source whatever the case of the name is."""
    return name.replace("/code/", "/CODE/"), data


def reaching_scripts(target: Path) -> Mapping[str, tuple[bytes, str]]:
    """TorchScript files by what they do, each with words of its refusal; `target` is what they
    write to.
    """
    file = f'"{target}"'
    reads = f"s = torch.add(s, torch.mul(torch.from_file({file}, True, 3), 0))"
    at_load = _with_code(lambda code: code + _STATE_OF_CLASS.replace('"FILE"', file))
    outside = _HELPER.replace('"FILE"', file)
    return {
        "a file that forward reads": (_with_lines(reads), "aten::from_file"),
        "the operator under its full name": (
            _with_lines(reads.replace("torch.from", "ops.aten.from")),
            "aten::from_file",
        ),
        "its name in pieces": (
            _with_lines(reads.replace("torch.from_file", r'getattr(torch, "from" "\137file")')),
            "aten::from_file",
        ),
        "in a branch of a loop": (
            _with_lines(
                "for i in range(2):", "  if torch.eq(i, 7):", f"    {reads}", "  else:", "    pass"
            ),
            "aten::from_file",
        ),
        "in a function": (
            _with_lines("s = __torch__.HERE.free(s)", before=outside),
            "aten::from_file",
        ),
        "on another thread": (
            _with_lines("f = fork(__torch__.HERE.free, s)", before=outside),
            "aten::from_file",
        ),
        "a file that is written": (_with_lines(f"torch.save(s, {file})"), "aten::save"),
        "printed words": (_with_lines('print("words")'), "prim::Print"),
        "Python": (_with_lines("ops.prim.IgnoredPythonOp(s)"), "prim::IgnoredPythonOp"),
        "another machine": (_with_lines('ops.prim.rpc_sync("w", s)'), "prim::rpc_sync"),
        "another library": (
            _with_lines('ops.profiler._record_function_enter("w")'),
            "only operators of aten and prim",
        ),
        "a class of native code": (script_bytes(_Native()), "torch.classes.quantized"),
        "a file, while it is loaded": (at_load, "__setstate__"),
        "the same under another case": (rewritten(at_load, _forgotten), "__setstate__"),
        "the same, packed": (
            rewritten(at_load, lambda *each: each, zipfile.ZIP_DEFLATED),
            "__setstate__",
        ),
        "gigabytes, packed": (
            rewritten(
                script_bytes(Sums()),
                lambda name, data: (name, data + bytes(100 << 20) if "/version" in name else data),
                zipfile.ZIP_DEFLATED,
            ),
            "far more than its size",
        ),
    }


PLACES = ("initializer", "constant", "sparse", "subgraph", "function", "training", "attribute")


def external_onnx(place: str, location: str = "beside.bin") -> bytes:
    """`Sums` as ONNX, with numbers in another file (12 bytes of it) that stands at `place`."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        weight.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("ReduceSum", ["x", "one"], ["sum"], keepdims=0),
        helper.make_node("Add", ["s", "sum"], ["s_out"]),
        helper.make_node("Add", ["s_out", "s_out"], ["twice"]),
    ]
    held = {"initializer": [weight], "sparse": [], "training": []}.get(place, [])
    domain, functions = "", []
    if place == "constant":
        nodes.append(helper.make_node("Constant", [], ["w"], value=weight))
    if place in ("initializer", "constant"):
        nodes.append(helper.make_node("Sub", ["twice", "w"], ["y"]))
    if place == "subgraph":
        nodes += _branch(weight)
    if place == "function":
        domain = "own"
        body = [
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("Sub", ["a", "w"], ["b"]),
        ]
        opsets = [helper.make_opsetid("", 17)]
        functions.append(helper.make_function(domain, "F", ["a"], ["b"], body, opsets))
        nodes.append(helper.make_node("F", ["twice"], ["y"], domain=domain))
    if place in ("sparse", "training", "attribute"):
        nodes.append(helper.make_node("Identity", ["twice"], ["y"]))
    if place == "attribute":
        nodes[-1].attribute.append(helper.make_attribute("extra", weight))
    graph = helper.make_graph(nodes, "sums", *_ports(), [_one(), *held])
    if place == "sparse":
        indices = helper.make_tensor("i", TensorProto.INT64, [3], [0, 1, 2])
        graph.sparse_initializer.append(helper.make_sparse_tensor(weight, indices, [9]))
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    if place == "training":
        model.training_info.add().initialization.initializer.append(weight)
    return bytes(model.SerializeToString())


def calling_onnx(depth: int, *, itself: bool = False) -> bytes:
    """`Sums` with functions in it that do nothing, each by two calls of the one before."""
    before = ("", "Identity")
    functions: list[onnx.FunctionProto] = []
    for index in range(depth):
        called = ("own", "F0") if itself and index == 0 else before
        body = [
            helper.make_node(called[1], ["a"], ["b"], domain=called[0]),
            helper.make_node(called[1], ["b"], ["c"], domain=called[0]),
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"F{index}", ["a"], ["c"], body, opsets))
        before = ("own", f"F{index}")
    nodes = [
        helper.make_node("ReduceSum", ["x", "one"], ["sum"], keepdims=0),
        helper.make_node("Add", ["s", "sum"], ["s_out"]),
        helper.make_node("Add", ["s_out", "s_out"], ["twice"]),
        helper.make_node(before[1], ["twice"], ["y"], domain=before[0]),
    ]
    graph = helper.make_graph(nodes, "sums", *_ports(), [_one()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    return bytes(model.SerializeToString())


def _one() -> TensorProto:
    return helper.make_tensor("one", TensorProto.INT64, [1], [1])


def _ports() -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    shapes: dict[str, Sequence[str | int]] = {
        "x": ["B", "T", 3],
        "s": ["B", 3],
        "y": ["B", 3],
        "s_out": ["B", 3],
    }
    x, s, y, after = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    return [x, s], [y, after]


def _branch(weight: TensorProto) -> list[onnx.NodeProto]:
    """A branch that is taken, with the weight in it."""
    given = helper.make_tensor_value_info("given", TensorProto.FLOAT, ["B", 3])
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, ["B", 3])
    taken = [helper.make_node("Sub", ["twice", "w"], ["given"])]
    left = [helper.make_node("Identity", ["twice"], ["other"])]
    truth = helper.make_tensor("truth", TensorProto.BOOL, [], [True])
    return [
        helper.make_node("Constant", [], ["truth"], value=truth),
        helper.make_node(
            "If",
            ["truth"],
            ["y"],
            then_branch=helper.make_graph(taken, "then", [], [given], [weight]),
            else_branch=helper.make_graph(left, "else", [], [other]),
        ),
    ]


def zeros_file(folder: Path, name: str = "beside.bin") -> Path:
    """The file that such an ONNX program would read: with zeros it would pass every other check."""
    path = folder / name
    np.zeros(3, np.float32).tofile(path)
    return path

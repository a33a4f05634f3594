"""An ONNX file looked at before it is run: its tensors, its operators, what its inputs look up."""

import hashlib
from collections.abc import Collection, Iterator, Mapping

import onnx

from carousel.export.errors import ExportRefused
from carousel.models.onnx_file import OnnxRefused, check_onnx

# Operators whose output holds the numbers of their first input, in another shape or dtype.
_PASSING = {
    *("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose", "Slice"),
    *("Expand", "Tile", "Clip"),
}
# Operators whose output is all of their first input, in another shape or dtype.
_TURNED = {"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"}
# Operators whose output is their first input, at most with its axes in another order.
_TURNING = {"Cast", "Identity", "Transpose"}
RECURRENT = {"LSTM", "GRU", "RNN"}
_LENGTHS = 4  # where each of them is told how long its rows are,
_STARTS = (5, 6)  # and where its rows start
_RESIZING = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "Slice", "Reshape", "Resize"}
# Domains of which ONNX Runtime has operators; others begin with the same words.
_KNOWN = {
    *("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"),
    *("com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental"),
}


def parse(data: bytes) -> onnx.ModelProto:
    """The model in these bytes; raises ExportRefused where there is none that may be loaded."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # whatever protobuf says to bytes that are something else
        model = onnx.ModelProto()
    if not model.opset_import or not model.graph.name:
        raise ExportRefused(
            "the file is neither ONNX nor TorchScript", "give a file that one of them wrote"
        )
    if not model.graph.output:
        raise ExportRefused("the file has no output", "export it with what it answers as output")
    try:
        check_onnx(data)
    except OnnxRefused as error:
        raise ExportRefused(str(error), error.way_out) from error
    _refuse_halves(model)
    for node in nodes(model):  # a damaged name that nobody asks for now would fail later
        _ = (node.domain, node.op_type, *node.input, *node.output)
        _ = tuple(each.name for each in node.attribute)
    return model


def unranked(model: onnx.ModelProto) -> set[str]:
    """Inputs of which the file does not say how many axes they have."""
    tensors = {each.name: each.type.tensor_type for each in model.graph.input}
    return {name for name, each in tensors.items() if not each.HasField("shape")}


def custom_operators(model: onnx.ModelProto) -> list[str]:
    """Operators of domains that are not ONNX's own, and that the file does not define itself."""
    own = {(each.domain, each.name) for each in model.functions}
    found = {
        f"{node.domain}::{node.op_type}"
        for node in nodes(model)
        if node.domain not in _KNOWN and (node.domain, node.op_type) not in own
    }
    return sorted(found)


def digest(model: onnx.ModelProto) -> str:
    """A hash of every number in the model, whatever the names: those of weights, and those that
    stand in the attributes of its operators.
    """
    found = hashlib.sha256()
    for tensor in _tensors(model):
        plain = onnx.TensorProto()
        plain.CopyFrom(tensor)
        plain.ClearField("name")
        plain.ClearField("doc_string")
        found.update(plain.SerializeToString(deterministic=True))
    for node in nodes(model):
        found.update(f"{node.domain}::{node.op_type}\n".encode())
        for each in sorted(node.attribute, key=lambda each: each.name):
            values = (each.f, each.i, each.s, *each.floats, *each.ints, *each.strings)
            found.update(f"{each.name} {each.type} {values}\n".encode())
    return found.hexdigest()


def counting(model: onnx.ModelProto) -> dict[str, str]:
    """Inputs that say how many time steps each row has, and nothing else, each with the input whose
    steps they are; at most cast on the way.
    """
    makers = {output: node for node in nodes(model) for output in node.output}
    found: dict[str, str] = {}
    read: set[str] = set()
    for node in reversed(list(nodes(model))):  # who reads before who makes
        places = list(node.input)
        if node.op_type in RECURRENT and "".join(places[_LENGTHS : _LENGTHS + 1]):
            found[places.pop(_LENGTHS)] = origin(places[0], makers)
        elif node.op_type == "Cast" and node.output[0] in found and node.output[0] not in read:
            found[places.pop(0)] = found[node.output[0]]
        read |= {*places}
    return {name: source for name, source in found.items() if source and name not in read}


def wired(model: onnx.ModelProto) -> dict[str, str]:
    """Inputs that one recurrent node starts from, each with the output that is where it ends."""
    makers = {output: node for node in model.graph.node for output in node.output}
    ends = {_source(each.name, makers, _TURNED): each.name for each in model.graph.output}
    found: dict[str, set[str]] = {}
    for node in model.graph.node:
        for start, end in zip(node.input[5:7], node.output[1:3], strict=False):
            if node.op_type in RECURRENT and start:
                found.setdefault(_source(start, makers, _TURNED), set()).add(ends.get(end, ""))
    every = {name: next(iter(each)) for name, each in found.items() if len(each) == 1}
    return {name: output for name, output in every.items() if output}


def both_ways(model: onnx.ModelProto) -> set[str]:
    """Inputs that a layer starts from which runs from the last time step to the first as well."""
    makers = {output: node for node in nodes(model) for output in node.output}
    return {
        _source(node.input[place], makers)
        for node in nodes(model)
        if node.op_type in RECURRENT
        and any(each.name == "direction" and each.s != b"forward" for each in node.attribute)
        for place in _STARTS
        if place < len(node.input)
    }


def vocabulary(model: onnx.ModelProto, name: str) -> int | None:
    """The rows of the smallest table that the input `name` looks up; None if it looks up none."""
    makers = {output: node for node in nodes(model) for output in node.output}
    stored = {each.name: list(each.dims) for each in model.graph.initializer}
    for node in nodes(model):
        if node.op_type == "Constant":
            for each in node.attribute:
                stored[node.output[0]] = list(each.t.dims)
    found = [
        sizes[0]
        for node in nodes(model)
        if node.op_type == "Gather" and _axis(node) == 0
        for sizes in [_sizes(node.input[0], makers, stored)]
        if _source(node.input[1], makers) == name and len(sizes) > 1
    ]
    return min(found, default=None)


def _sizes(
    name: str, makers: Mapping[str, onnx.NodeProto], stored: Mapping[str, list[int]]
) -> list[int]:
    """The sizes of a stored tensor, or of one as it stands turned; empty where they are unknown."""
    turns: list[list[int]] = []
    while name not in stored and name in makers and makers[name].op_type in _TURNING:
        node = makers[name]
        if node.op_type == "Transpose":
            turns.append(next((list(each.ints) for each in node.attribute), []))
        name = node.input[0]
    sizes = stored.get(name, [])
    for turn in reversed(turns):
        if turn and len(turn) != len(sizes):
            return []
        sizes = [sizes[axis] for axis in turn] if turn else sizes[::-1]
    return sizes


def _axis(node: onnx.NodeProto) -> int:
    return next((each.i for each in node.attribute if each.name == "axis"), 0)


def _source(
    name: str, makers: Mapping[str, onnx.NodeProto], passing: Collection[str] = _PASSING
) -> str:
    """Where the numbers of `name` come from."""
    seen: set[str] = set()
    while name in makers and name not in seen and makers[name].op_type in passing:
        seen.add(name)
        name = makers[name].input[0]
    return name


def origin(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """The input that `name` is made of step by step; empty where another has its time steps."""
    while name in makers:
        if makers[name].op_type in _RESIZING or not makers[name].input:
            return ""
        name = makers[name].input[0]
    return name


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of subgraphs and of the file's own functions included."""
    waiting = [*model.graph.node, *(node for each in model.functions for node in each.node)]
    while waiting:
        node = waiting.pop(0)
        yield node
        for graph in subgraphs(node):
            waiting += graph.node


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node runs."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def every_name(model: onnx.ModelProto) -> set[str]:
    """Every name of a tensor or a node in the model, wherever it stands."""
    names = {each.name for each in (*model.graph.input, *_tensors(model), *nodes(model))}
    return names | {name for node in nodes(model) for name in (*node.input, *node.output)}


def _refuse_halves(model: onnx.ModelProto) -> None:
    """Recurrent nodes in float16 end the process that loads them (onnxruntime 1.31)."""
    halves = {each.name for each in _tensors(model) if each.data_type == onnx.TensorProto.FLOAT16}
    halves |= {
        each.name
        for each in model.graph.input
        if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    }
    for node in nodes(model):
        if node.op_type in RECURRENT and halves & set(node.input):
            raise ExportRefused(
                f"{node.op_type} {node.name!r} computes in float16, which ONNX Runtime cannot do "
                "on the CPU",
                "keep its weights in float32; its state may stay float16, cast before and after",
            )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor in the file, wherever it stands."""
    yield from _stored(model.graph)
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
        for graph in subgraphs(node):
            yield from _stored(graph)


def _stored(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)

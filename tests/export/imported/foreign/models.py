"""The files: each small, made by plain torch, in one of the ways that people's models come."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from tests.export.imported.foreign import nets
from tests.export.imported.foreign.files import (
    Arrays,
    Foreign,
    load_script,
    onnx_bytes,
    script_bytes,
)


def _zeros(**shapes: tuple[int, ...]) -> Arrays:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def _tensors(values: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(each.copy()) for name, each in values.items()}


def _rows(values: Arrays, places: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """An example of three rows, made of one row's values."""
    tensors = _tensors(values)
    return {name: torch.cat([each] * 3, places[name]) for name, each in tensors.items()}


def denoiser() -> Foreign:
    """Three caches; nothing says that `rows` is 33 times the batch."""
    start = _zeros(
        conv_cache=(2, 1, 16, 4, 33), tra_cache=(2, 3, 1, 1, 16), inter_cache=(2, 1, 33, 16)
    )
    mix: Arrays = _zeros(mix=(1, 65, 1, 2))
    places = {"mix": 0, "conv_cache": 1, "tra_cache": 3, "inter_cache": 2}
    names = {"mix": "b", "conv_cache": "b", "tra_cache": "b", "inter_cache": "rows"}
    return Foreign(
        "denoiser",
        onnx_bytes(
            nets.Denoiser(),
            _rows(mix | start, places),
            ["enh", "conv_cache_out", "tra_cache_out", "inter_cache_out"],
            {name: {place: names[name]} for name, place in places.items()}
            | {f"{name}_out": {places[name]: names[name]} for name in start}
            | {"enh": {0: "b"}},
        ),
        {"mix": ((65, 1, 2), "float32", 0)},
        ("enh",),
        {name: f"{name}_out" for name in start},
        start,
    )


def predictor() -> Foreign:
    """int64 tokens and an embedding; h and hn, c and cn."""
    start = _zeros(h=(2, 1, 8), c=(2, 1, 8))
    tokens: Arrays = {"targets": np.ones((1, 1), np.int64)}
    places = {"targets": 0, "h": 1, "c": 1}
    return Foreign(
        "predictor",
        onnx_bytes(
            nets.Predictor(),
            _rows(tokens | start, places),
            ["logits", "hn", "cn"],
            {name: {place: "N"} for name, place in places.items()},
        ),
        {"targets": ((1,), "int64", 22)},
        ("logits",),
        {"h": "hn", "c": "cn"},
        start,
    )


def tagger() -> Foreign:
    """int64 tokens over time; its axes have no names."""
    start = _zeros(hx=(1, 1, 7))
    ids: Arrays = {"ids": np.ones((1, 4), np.int64)}
    return Foreign(
        "tagger",
        onnx_bytes(
            nets.Tagger(),
            _rows(ids | start, {"ids": 0, "hx": 1}),
            ["tags", "hy"],
            {"ids": {0: "d0", 1: "d1"}, "hx": {1: "d2"}},
        ),
        {"ids": ((), "int64", 10)},
        ("tags",),
        {"hx": "hy"},
        start,
        time=1,
    )


def half() -> Foreign:
    """A float16 state and an int32 signal."""
    start: Arrays = {"state": np.zeros((1, 6), np.float16)}
    signal: Arrays = {"signal": np.ones((1, 4), np.int32)}
    return Foreign(
        "half",
        onnx_bytes(
            nets.Half(),
            _rows(signal | start, {"signal": 0, "state": 0}),
            ["logprobs", "state_next"],
            {"signal": {0: "batch"}, "state": {0: "batch"}},
        ),
        {"signal": ((4,), "int32", 90)},
        ("logprobs",),
        {"state": "state_next"},
        start,
    )


def alone() -> Foreign:
    """Rank one, no batch axis, first values that are not zero."""
    start: Arrays = {"state_in": np.linspace(-1, 1, 7).astype(np.float32)}
    spec: Arrays = {"spec": np.ones(5, np.float32)}
    return Foreign(
        "alone",
        onnx_bytes(nets.Alone(), _tensors(spec | start), ["spec_e", "state_out"], {}),
        {"spec": ((5,), "float32", 0)},
        ("spec_e",),
        {"state_in": "state_out"},
        start,
        batch=None,
    )


def projected() -> Foreign:
    """h and c of different size, and a second input."""
    start = _zeros(h=(2, 1, 3), c=(2, 1, 5))
    inputs = _zeros(x=(1, 6), gain=(1, 1))
    places = {"x": 0, "gain": 0, "h": 1, "c": 1}
    return Foreign(
        "projected",
        onnx_bytes(
            nets.Projected(),
            _rows(inputs | start, places),
            ["y", "new_h", "new_c"],
            {name: {place: "batch_size"} for name, place in places.items()},
        ),
        {"x": ((6,), "float32", 0), "gain": ((1,), "float32", 0)},
        ("y",),
        {"h": "new_h", "c": "new_c"},
        start,
    )


def hostile() -> Foreign:
    """Names that are prefixes of each other, and outputs that sort the other way round."""
    names = ("state", "state_1", "state_10")
    outputs = ("state_next", "out_state_1", "new_state_10")
    assert sorted(outputs) == list(reversed(outputs))
    start = _zeros(**dict.fromkeys(names, (1, 4)))
    return Foreign(
        "hostile",
        onnx_bytes(
            nets.Hostile(),
            _rows(_zeros(x=(1, 4)) | start, dict.fromkeys(("x", *names), 0)),
            ["y", *outputs],
            {name: {0: "n"} for name in ("x", *names)},
        ),
        {"x": ((4,), "float32", 0)},
        ("y",),
        dict(zip(names, outputs, strict=True)),
        start,
    )


def cache_aware() -> Foreign:
    """A float32 cache and an int64 count in one model, batch axis 0."""
    start: Arrays = {
        "cache_last_channel": np.zeros((1, 6, 4), np.float32),
        "cache_last_channel_len": np.zeros(1, np.int64),
    }
    return Foreign(
        "cache-aware",
        onnx_bytes(
            nets.CacheAware(),
            _rows(_zeros(audio=(1, 2, 4)) | start, dict.fromkeys(("audio", *start), 0)),
            ["encoded", *(f"{name}_next" for name in start)],
            {name: {0: "batch"} for name in ("audio", *start)},
        ),
        {"audio": ((2, 4), "float32", 0)},
        ("encoded",),
        {name: f"{name}_next" for name in start},
        start,
    )


def remembers() -> Foreign:
    """A memory that is set when the session opens and never changes."""
    start = _zeros(memory=(1, 5, 8), hidden=(1, 8))
    token: Arrays = {"token": np.ones((1, 1), np.int64)}
    return Foreign(
        "remembers",
        onnx_bytes(
            nets.Remembers(),
            _rows(token | start, dict.fromkeys(("token", *start), 0)),
            ["scores", "hidden_out"],
            {name: {0: "batch"} for name in ("token", *start)},
        ),
        {"token": ((1,), "int64", 8)},
        ("scores",),
        {"memory": None, "hidden": "hidden_out"},
        start,
        flags=("--fixed", "memory"),
    )


def ahead() -> Foreign:
    """No state of its own: three time steps are kept in front of the next."""
    return Foreign(
        "ahead",
        onnx_bytes(
            nets.Ahead(),
            _rows(_zeros(x=(1, 9, 3)), {"x": 0}),
            ["y"],
            {"x": {0: "batch", 1: "time"}},
        ),
        {"x": ((3,), "float32", 0)},
        ("y",),
        {},
        {},
        flags=("--context", "x=3"),
        time=1,
        context=3,
    )


def scripted() -> Foreign:
    """TorchScript with a tuple of states, a number, and a flag left at its default."""
    data = script_bytes(nets.Scripted())
    module = load_script(data)

    def call(feed: Arrays) -> Arrays:
        given = _tensors(feed)
        with torch.no_grad():
            y, (h, c) = module(given["ids"], (given["state.0"], given["state.1"]), 2.5)
        return {"output_0": y.numpy(), "output_1_0": h.numpy(), "output_1_1": c.numpy()}

    return Foreign(
        "scripted",
        data,
        {"ids": ((), "int64", 6)},
        ("output_0",),
        {"state.0": "output_1_0", "state.1": "output_1_1"},
        {"state.0": np.zeros((1, 1, 6), np.float32), "state.1": np.zeros((1, 1, 6), np.float32)},
        flags=(
            *("--input", "ids:int64:time,batch", "--constant", "scale=2.5"),
            *("--input", "state.0:float32:1,batch,6", "--input", "state.1:float32:1,batch,6"),
        ),
        batch=1,
        time=0,
        call=call,
    )


def hides() -> Foreign:
    """TorchScript that keeps its state in an attribute, by the submodule that takes it."""
    data = script_bytes(nets.Hides())
    inner = load_script(data).inner

    def call(feed: Arrays) -> Arrays:
        given = _tensors(feed)
        with torch.no_grad():
            y, state = inner(given["signal"], given["state"])
        return {"output_0": y.numpy(), "output_1": state.numpy()}

    return Foreign(
        "hides",
        data,
        {"signal": ((4,), "int32", 90)},
        ("output_0",),
        {"state": "output_1"},
        {"state": np.zeros((1, 6), np.float16)},
        flags=(
            *("--submodule", "inner", "--range", "signal=0..90"),
            *("--input", "signal:int32:batch,4", "--input", "state:float16:batch,6"),
        ),
        call=call,
    )


FOREIGN: Mapping[str, Callable[[], Foreign]] = {
    each.__name__: each
    for each in (
        *(denoiser, predictor, tagger, half, alone, projected, hostile, cache_aware, remembers),
        *(ahead, scripted, hides),
    )
}

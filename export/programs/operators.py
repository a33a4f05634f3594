"""Operators of torch that torch itself has no ONNX form of, or one that is lost at large values:
the logarithm of a sigmoid that has come to zero, a division that rounds towards zero.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.onnx import symbolic_helper, symbolic_opset9
from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

from carousel.export.programs.projection import OPSET

_ONNX: Any = torch.onnx
_KINDS = _ONNX.JitScalarType


@contextmanager
def completed() -> Iterator[None]:
    """Within it `torch.onnx.export` knows them."""
    with ExitStack() as stack:
        for name, symbolic in _SYMBOLICS.items():
            register_custom_op_symbolic(f"aten::{name}", symbolic, OPSET)
            stack.callback(unregister_custom_op_symbolic, f"aten::{name}", OPSET)
        yield


def _number(g: Any, like: Any, number: float) -> Any:
    dtype = _KINDS.from_value(like, _KINDS.FLOAT).dtype()
    return g.op("Constant", value_t=torch.tensor(number, dtype=dtype))


def _same(name: str) -> Callable[..., Any]:
    """An operator that ONNX has too."""
    return lambda g, x: g.op(name, x)


def _log_sigmoid(g: Any, x: Any) -> Any:
    return g.op("Neg", g.op("Softplus", g.op("Neg", x)))


def _log_add_exp(g: Any, x: Any, y: Any) -> Any:
    apart = g.op("Softplus", g.op("Neg", g.op("Abs", g.op("Sub", x, y))))
    found = g.op("Add", g.op("Max", x, y), apart)
    doubled = g.op("Add", x, _number(g, x, math.log(2)))
    return g.op("Where", g.op("Equal", x, y), doubled, found)  # of two infinities too


def _floor_divide(g: Any, x: Any, y: Any) -> Any:
    if symbolic_helper._is_fp(x):
        return g.op("Floor", symbolic_opset9.div(g, x, y))
    if not symbolic_helper._get_tensor_rank(x):  # a size, which is not below zero
        return symbolic_opset9.floor_divide(g, x, y)
    return g.op("Div", g.op("Sub", x, g.op("Mod", x, y)), y)  # Mod has the sign of y


def _trunc(g: Any, x: Any) -> Any:
    return g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x)))


def _rms_norm(g: Any, x: Any, shape: Any, weight: Any, eps: Any) -> Any:
    helper: Any = symbolic_helper
    axes = list(range(-len(helper._get_const(shape, "is", "normalized_shape")), 0))
    dtype = _KINDS.from_value(x, _KINDS.FLOAT).dtype()
    known = not helper._is_none(eps)
    least = helper._get_const(eps, "f", "eps") if known else torch.finfo(dtype).eps
    mean = g.op("ReduceMean", g.op("Mul", x, x), axes_i=axes, keepdims_i=1)
    found = g.op("Div", x, g.op("Sqrt", g.op("Add", mean, _number(g, x, least))))
    return found if symbolic_helper._is_none(weight) else g.op("Mul", found, weight)


def _addcdiv(g: Any, x: Any, y: Any, z: Any, value: Any) -> Any:
    return symbolic_opset9.add(g, x, symbolic_opset9.mul(g, symbolic_opset9.div(g, y, z), value))


def _xlogy(g: Any, x: Any, y: Any) -> Any:
    zero = _number(g, x, 0.0)
    return g.op("Where", g.op("Equal", x, zero), zero, g.op("Mul", x, g.op("Log", y)))


_SYMBOLICS: Mapping[str, Callable[..., Any]] = {
    "log_sigmoid": _log_sigmoid,
    "logaddexp": _log_add_exp,
    "floor_divide": _floor_divide,
    "swapaxes": symbolic_opset9.transpose,
    "swapdims": symbolic_opset9.transpose,
    "rms_norm": _rms_norm,
    "addcdiv": _addcdiv,
    "xlogy": _xlogy,
    "trunc": _trunc,
    "frac": lambda g, x: g.op("Sub", x, _trunc(g, x)),
    "exp2": lambda g, x: g.op("Pow", _number(g, x, 2.0), x),
    "expm1": lambda g, x: g.op("Sub", g.op("Exp", x), _number(g, x, 1.0)),
    "erfc": lambda g, x: g.op("Sub", _number(g, x, 1.0), g.op("Erf", x)),
    "hypot": lambda g, x, y: g.op("Sqrt", g.op("Add", g.op("Mul", x, x), g.op("Mul", y, y))),
    **{name.lower(): _same(name) for name in ("Sinh", "Cosh", "Asinh", "Acosh", "Atanh")},
}

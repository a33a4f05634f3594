"""What is printed at the start: where the service is, and two lines of curl that work there."""

import math
from collections.abc import Sequence
from typing import Any

import orjson

from carousel.models.spec import TIME, Axis, InputSpec, ModelSpec
from carousel.service.engine.loaded_model import LoadedModel

# The reference models that have learned something worth an answer, the first that is served.
_TRAINED = ("hello-rnn", "simple-lstm")
# What hello-rnn has learned to hear: a letter a step, one-hot in the order e, h, l, o.
_HELLO = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
_MAX_NUMBERS = 256


def greet(url: str, loaded: Sequence[LoadedModel], *, with_key: bool) -> str:
    """The address and two lines of curl, made from the models that are served."""
    count = len(loaded)
    lines = [f"Carousel serves {count} model{'s' * (count != 1)} at {url}   (try it: {url}/docs)"]
    key = '-H "Authorization: Bearer $CAROUSEL_API_KEY" ' if with_key else ""
    post = f"curl -sS {key}-H 'Content-Type: application/json'"
    plain, streamed = _choose(loaded), _choose([each for each in loaded if each.spec.is_streamable])
    if plain is not None:
        sent = _json({"sequences": [_hello(plain) or _sequence(plain.spec, 2)]})
        lines += ["", "A whole sequence:"]
        lines += [f"{post} {url}/v1/models/{plain.name}/infer -d '{sent}'"]
    if streamed is not None:
        opened = _json({"model": streamed.name, "session_id": f"demo-{streamed.name}"})
        sent = _json({"inputs": _hello(streamed)[:1] or _sequence(streamed.spec, 1)})
        lines += ["", "A session, which goes on each time the line is sent:"]
        lines += [
            f"{post} -o /dev/null {url}/v1/sessions -d '{opened}'; "
            f"{post} {url}/v1/sessions/demo-{streamed.name}/steps -d '{sent}'"
        ]
    return "\n".join([*lines, ""])


def _choose(loaded: Sequence[LoadedModel]) -> LoadedModel | None:
    """A trained one, or else the model whose input makes the shortest line, if it fits one."""
    short = [each for each in loaded if _num_numbers(each.spec) <= _MAX_NUMBERS]
    for name in _TRAINED:
        for each in short:
            if each.name == name:
                return each
    return min(short, key=lambda each: _num_numbers(each.spec), default=None)


def _hello(loaded: LoadedModel) -> list[list[int]]:
    """The word, for the model that knows it; empty for others, also for others of its name."""
    spec = loaded.spec
    shapes = [(each.dtype, spec.wire_shape(each)) for each in spec.sent_inputs]
    knows = loaded.name == "hello-rnn" and shapes == [("float32", (TIME, len(_HELLO[0])))]
    return _HELLO if knows else []


def _num_numbers(spec: ModelSpec) -> int:
    return sum(math.prod(each.row_shape) for each in spec.sent_inputs)


def _sequence(spec: ModelSpec, num_steps: int) -> Any:
    values = {
        each.name: _values(each, spec.wire_shape(each), num_steps) for each in spec.sent_inputs
    }
    return next(iter(values.values())) if len(values) == 1 else values


def _values(tensor: InputSpec, axes: tuple[Axis, ...], num_steps: int) -> Any:
    """Nested lists of that shape: 0.1, 0.2, ... or the lowest integers there are."""
    if len(axes) > 1:
        size = num_steps if axes[0] == TIME else int(axes[0])
        return [_values(tensor, axes[1:], num_steps) for _ in range(size)]
    if not axes:
        return _value(tensor, 0)
    size = num_steps if axes[0] == TIME else int(axes[0])
    return [_value(tensor, index) for index in range(size)]


def _value(tensor: InputSpec, index: int) -> float | int | bool:
    if tensor.dtype == "bool":
        return False
    if tensor.dtype.startswith("float"):
        return (index % 10 + 1) / 10
    return tensor.low or 0


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

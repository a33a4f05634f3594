"""What is printed at the start: where the service is, and two lines of curl that work there."""

import math
from collections.abc import Sequence
from typing import Any

import orjson

from carousel.models.spec import TIME, Axis, InputSpec, ModelSpec
from carousel.service.engine.loaded_model import LoadedModel

_PREFERRED = "lstm-10-20-2"
_MAX_NUMBERS = 256


def greet(url: str, loaded: Sequence[LoadedModel], *, with_key: bool) -> str:
    """The address and two lines of curl, made from the models that are served."""
    count = len(loaded)
    lines = [f"Carousel serves {count} model{'s' * (count != 1)} at {url}   (try it: {url}/docs)"]
    key = '-H "Authorization: Bearer $CAROUSEL_API_KEY" ' if with_key else ""
    post = f"curl -sS {key}-H 'Content-Type: application/json'"
    plain, streamed = _choose(loaded), _choose([each for each in loaded if each.spec.is_streamable])
    if plain is not None:
        sent = _json({"sequences": [_sequence(plain.spec, 2)]})
        lines += ["", "A whole sequence:"]
        lines += [f"{post} {url}/v1/models/{plain.name}/infer -d '{sent}'"]
    if streamed is not None:
        opened = _json({"model": streamed.name, "session_id": f"demo-{streamed.name}"})
        sent = _json({"inputs": _sequence(streamed.spec, 1)})
        lines += ["", "A session, which goes on each time the line is sent:"]
        lines += [
            f"{post} -o /dev/null {url}/v1/sessions -d '{opened}'; "
            f"{post} {url}/v1/sessions/demo-{streamed.name}/steps -d '{sent}'"
        ]
    return "\n".join([*lines, ""])


def _choose(loaded: Sequence[LoadedModel]) -> LoadedModel | None:
    """The model whose input makes the shortest line, if it fits one."""
    short = [each for each in loaded if _num_numbers(each.spec) <= _MAX_NUMBERS]
    return min(
        short, key=lambda each: (each.name != _PREFERRED, _num_numbers(each.spec)), default=None
    )


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

"""The state of one session or sequence, in JSON and safetensors."""

from collections.abc import Mapping
from typing import Any

from models.row import Array
from models.spec import ModelSpec
from service.api.explain import Shape, kind_of
from service.api.tensor import Tensor
from service.api.tensorfile import Entry
from service.errors import InvalidRequest

PREFIX = "state."


class States:
    """Reads a model's states, every one of them, by name and in session shape."""

    def __init__(self, spec: ModelSpec) -> None:
        self._tensors = {
            each.name: Tensor(
                Shape(each.dtype, each.session_shape, is_state=True, finite=each.finite),
                max_steps=1,
            )
            for each in spec.states
        }

    def __repr__(self) -> str:
        return f"<States {self._tensors}>"

    def read_json(self, value: Any, where: str, *, bools: bool) -> dict[str, Array]:
        """The states of a JSON object."""
        if type(value) is not dict:
            raise InvalidRequest(
                f"{where}: {kind_of(value)} given; expected an object of {self._names()}"
            )
        self._check_names(value.keys(), f"{where}.")
        return {
            name: tensor.read_json(value[name], f"{where}.{name}", bools=bools)
            for name, tensor in self._tensors.items()
        }

    def read_tensors(self, entries: Mapping[str, Entry]) -> dict[str, Array]:
        """The states of a safetensors body, which holds `state.<name>` and nothing else."""
        for name in entries:
            if not name.startswith(PREFIX):
                raise InvalidRequest(f"{name}: not a state; expected {PREFIX}<name>")
        self._check_names({name.removeprefix(PREFIX) for name in entries}, PREFIX)
        arrays: dict[str, Array] = {}
        for name, tensor in self._tensors.items():
            entry = entries[PREFIX + name]
            arrays[name] = tensor.read_tensor(entry.data, entry.dtype, entry.sizes, PREFIX + name)
        return arrays

    def _check_names(self, given: Any, where: str) -> None:
        for name in sorted(given - self._tensors.keys()):
            raise InvalidRequest(f"{where}{name}: no such state; expected {self._names()}")
        for name in sorted(self._tensors.keys() - given):
            raise InvalidRequest(f"{where}{name}: nothing given; expected {self._names()}")

    def _names(self) -> str:
        return (
            f"the states {', '.join(self._tensors)}" if self._tensors else "no states: it has none"
        )

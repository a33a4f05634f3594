"""The state of one session or sequence, in JSON and safetensors."""

from collections.abc import Mapping
from typing import Any

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.explain import Shape, kind_of
from carousel.service.api.encoding.tensor import Entry, Tensor
from carousel.service.errors import InvalidRequest

PREFIX = "state."


class States:
    """Reads a model's states by name and in session shape.

    `whole`: every one of them; otherwise a model with fixed states may be given some.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._tensors = {
            each.name: Tensor(
                Shape(each.dtype, each.session_shape, is_state=True, finite=each.finite),
                max_steps=1,
            )
            for each in spec.states
        }
        self._in_part = spec.starts_in_part

    def __repr__(self) -> str:
        return f"<States {self._tensors}>"

    def read_json(
        self, value: Any, where: str, *, bools: bool, whole: bool = True
    ) -> dict[str, Array]:
        """The states of a JSON object."""
        if type(value) is not dict:
            raise InvalidRequest(
                f"{where}: {kind_of(value)} given; expected an object of {self._names()}"
            )
        self._check_names(value.keys(), f"{where}.", whole=whole)
        return {
            name: tensor.read_json(value[name], f"{where}.{name}", bools=bools)
            for name, tensor in self._tensors.items()
            if name in value
        }

    def read_tensors(self, entries: Mapping[str, Entry], *, whole: bool = True) -> dict[str, Array]:
        """The states of a safetensors body, which holds `state.<name>` and nothing else."""
        for name in entries:
            if not name.startswith(PREFIX):
                raise InvalidRequest(f"{name}: not a state; expected {PREFIX}<name>")
        given = {name.removeprefix(PREFIX) for name in entries}
        self._check_names(given, PREFIX, whole=whole)
        return {
            name: tensor.read_entry(entries[PREFIX + name], PREFIX + name)
            for name, tensor in self._tensors.items()
            if name in given
        }

    def _check_names(self, given: Any, where: str, *, whole: bool) -> None:
        for name in given:
            if name in self._tensors:
                continue
            raise InvalidRequest(f"{where}{name}: no such state; expected {self._names()}")
        if self._in_part and not whole:
            return
        for name in sorted(self._tensors.keys() - given):
            raise InvalidRequest(f"{where}{name}: nothing given; expected {self._names()}")

    def _names(self) -> str:
        return (
            f"the states {', '.join(self._tensors)}" if self._tensors else "no states: it has none"
        )

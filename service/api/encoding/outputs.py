"""What a model answers: its outputs by name, or the one without."""

from collections.abc import Mapping

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.arrays import array_json, arrays_json
from carousel.service.errors import NotAcceptable


class Outputs:
    """Writes a model's outputs; one that stands alone goes without its name."""

    def __init__(self, spec: ModelSpec) -> None:
        self._names = tuple(each.name for each in spec.outputs)
        self._single = self._names[0] if len(self._names) == 1 else None

    def __repr__(self) -> str:
        return f"<Outputs {', '.join(self._names)}>"

    def require_single(self, *, with_state: bool = False) -> None:
        """Raises NotAcceptable where raw bytes would have to hold more than one tensor."""
        if with_state or self._single is None:
            tensors = [*self._names, *(["state"] if with_state else [])]
            raise NotAcceptable(
                f"raw bytes and NumPy files hold one tensor; the answer has {', '.join(tensors)}",
                hint="send Accept: application/x-safetensors",
            )

    def json(self, outputs: Mapping[str, Array]) -> bytes:
        """The one output, or an object of outputs by name."""
        return arrays_json(outputs) if self._single is None else array_json(outputs[self._single])

    def single(self, outputs: Mapping[str, Array]) -> Array:
        """The one output; it was asked before whether there is one."""
        assert self._single is not None
        return outputs[self._single]

    def raw(self, outputs: Mapping[str, Array]) -> bytes:
        """The bytes of the one output, little-endian, row-major."""
        return self.single(outputs).tobytes()

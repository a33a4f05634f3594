"""What a model answers, in each encoding."""

from collections.abc import Mapping

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.arrays import array_json, arrays_json
from carousel.service.api.encoding.media import Media, media_for
from carousel.service.api.encoding.npy import write_npy
from carousel.service.api.encoding.states import PREFIX
from carousel.service.api.encoding.tensorfile import write_tensors
from carousel.service.errors import NotAcceptable


class Outputs:
    """Writes a model's outputs; one that stands alone goes without its name."""

    def __init__(self, spec: ModelSpec) -> None:
        self._names = tuple(each.name for each in spec.outputs)
        self._single = self._names[0] if len(self._names) == 1 else None

    def __repr__(self) -> str:
        return f"<Outputs {', '.join(self._names)}>"

    def media(self, accept: bytes | None, given: Media, *, with_state: bool) -> Media:
        """The answer's encoding for a request in `given`; asked before anything runs.

        Raises NotAcceptable where it would be raw bytes and hold more than one tensor.
        """
        usual = Media.SAFETENSORS if with_state and given.is_single else given
        media = media_for(accept, usual)
        if media.is_single:
            self.require_single(with_state=with_state)
        return media

    def require_single(self, *, with_state: bool = False) -> None:
        """Raises NotAcceptable where raw bytes would have to hold more than one tensor."""
        if with_state or self._single is None:
            tensors = [*self._names, *(["state"] if with_state else [])]
            raise NotAcceptable(
                f"raw bytes and NumPy files hold one tensor; the answer has {', '.join(tensors)}",
                hint=f"send Accept: {Media.SAFETENSORS.value}",
            )

    def json(self, outputs: Mapping[str, Array]) -> bytes:
        """The one output, or an object of outputs by name."""
        return arrays_json(outputs) if self._single is None else array_json(outputs[self._single])

    def raw(self, outputs: Mapping[str, Array]) -> bytes:
        """The bytes of the one output, little-endian, row-major."""
        assert self._single is not None
        return outputs[self._single].tobytes()

    def npy(self, outputs: Mapping[str, Array]) -> bytes:
        """The one output as a NumPy file."""
        assert self._single is not None
        return write_npy(outputs[self._single])

    def tensors(self, outputs: Mapping[str, Array], state: Mapping[str, Array] | None) -> bytes:
        """Outputs by name and states as `state.<name>`, as safetensors."""
        return write_tensors({**outputs, **state_names(state or {})})


def state_names(state: Mapping[str, Array]) -> dict[str, Array]:
    """States by the names they have in a safetensors body."""
    return {PREFIX + name: each for name, each in state.items()}

"""Where a sequence starts: at what is given of its state, and at initial values for the rest."""

from collections.abc import Collection, Mapping

from carousel.models.row import Array
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import InvalidRequest


def start_row(loaded: LoadedModel, state: Mapping[str, Array] | None, where: str) -> bytes:
    """The row that starts at `state`, by name and in session shape, as far as it goes.

    Raises InvalidRequest as `require_given`, of the field `where`.
    """
    require_given(loaded, state or (), where)
    if not state:
        return loaded.initial_row
    return loaded.layout.pack({**loaded.layout.unpack(loaded.initial_row), **state})


def require_given(loaded: LoadedModel, names: Collection[str], where: str) -> None:
    """Raise InvalidRequest if a state that never changes and has no initial value is missing."""
    missing = [
        each.name for each in loaded.spec.states if each.is_required and each.name not in names
    ]
    if missing:
        raise InvalidRequest(
            f"{where}: nothing given for {', '.join(missing)}; expected every state that never "
            "changes and has no initial value",
            hint="such states come with the request that begins a session or a sequence",
        )


def restart_row(loaded: LoadedModel, row: bytes) -> bytes:
    """The row that a session at `row` goes back to: what never changes stays."""
    states = loaded.layout.unpack(row)
    fixed = {each.name: states[each.name] for each in loaded.spec.states if each.fixed}
    return start_row(loaded, fixed, "state")

"""States of a forward that treats its first step otherwise: a cut between two later ones."""

from carousel.export.lifting.candidates import Options, same
from carousel.export.lifting.plan import After, Start
from carousel.export.lifting.recording import Recording
from carousel.export.lifting.sites import Key, Site


def cut(
    run: Recording, last: Recording, before: Recording, first: Recording | None = None
) -> Options:
    """What the last step reads of the one before it, each with what may be its next value.

    `run` is a recording of some steps, `last` of the same with another last step, `before` with
    another second last one. Next values are made at the same site; where the `first` step is one
    of its own, what it makes has them at any, those that are made last first.
    """
    late, early = _moved(run, last), _moved(run, before)
    alike = _as_large if first is not None else _alike
    later: dict[object, list[Key]] = {}
    for key in run.made():
        if key in late:
            later.setdefault(alike(run, key), []).append(key)
    earlier = {key for key in run.made() if key in early and key not in late}
    if first is not None:
        earlier &= first.values.keys()
    counterparts = {
        key: later[alike(run, key)][:: 1 if first is None else -1]
        for key in earlier
        if alike(run, key) in later
    }
    found = Options()
    for call in run.calls:
        if any(key not in counterparts for key in call.made):
            for each in call.taken:
                if each.key in counterparts:
                    found[Start(each.key)] = list[After](counterparts[each.key])
    return found


def _alike(run: Recording, key: Key) -> tuple[Site, int, tuple[int, ...]]:
    return key.site, key.place, tuple(run.values[key].shape)


def _as_large(run: Recording, key: Key) -> tuple[int, ...]:
    return tuple(run.values[key].shape)


def _moved(run: Recording, other: Recording) -> set[Key]:
    """Values that are others in the other run."""
    return {
        key
        for key, value in run.values.items()
        if key not in other.values or not same(value, other.values[key])
    }

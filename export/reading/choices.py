"""Every way to pair what is in doubt, as long as there are few enough to run."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from carousel.export.reading.ambiguity import too_few, uncounted
from carousel.export.reading.names import is_state

_MOST = 720


def choices(doubtful: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """The ways, no output in two pairs; what is not called a state may be none.

    Raises Doubt where there are too many, of which a part would show nothing, or none.
    """
    ways = list(itertools.islice(_ways(list(doubtful.items()), {}), _MOST + 1))
    if len(ways) > _MOST:
        raise uncounted(doubtful, _MOST)
    found = [each for each in ways if each is not None]
    if not found:
        raise too_few(doubtful)
    return found


def _ways(
    left: Sequence[tuple[str, Sequence[str]]], chosen: dict[str, str]
) -> Iterator[dict[str, str] | None]:
    """What can be chosen after `chosen`; None for an end that leads nowhere."""
    if not left:
        yield chosen
        return
    (name, outputs), rest = left[0], left[1:]
    free = [each for each in outputs if each not in chosen.values()]
    for output in free:
        yield from _ways(rest, {**chosen, name: output})
    if not is_state(name):
        yield from _ways(rest, chosen)
    elif not free:
        yield None

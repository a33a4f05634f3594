"""Row isolation: a row must be the same among other neighbours, among loud and silent ones, and
alone.

"It ran at a larger size" proves nothing, and neither do neighbours of one loudness: a gain that
follows the loudest of a batch mixes rows only where one is loud.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from carousel.export.measured.sampling import Axes, take_rows
from carousel.export.measured.tolerance import Off, Scale, Tensors, Tolerance, largest
from carousel.models.spec import BATCH, ModelSpec, StateSpec, TensorSpec

ROWS = 3
LOUD = 100  # how many times as large as the others
VERY_LOUD = 1_000_000  # far above what samples of 16 bits are beside such below one
LOUDER = "loud"
ANY = "loud in integers too"  # which may be none that the model takes
_COPIES = 5  # of one row, beside which the rounding of its arithmetic is seen

Run = Callable[[Tensors], Tensors]


@dataclass(slots=True)
class Company:
    """What rows are to each other: `mixed` says what shows that they are not independent, `failed`
    what the model said to rows of that word, beside which nothing could be compared.
    """

    mixed: str | None = None
    failed: tuple[str, Exception] | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a tensor has its rows; `fold` of them belong to one session."""

    axes: Axes
    fold: int = 1

    @staticmethod
    def of(spec: TensorSpec) -> "Placed":
        """Where a tensor of a spec has them."""
        return Placed(spec.axes, spec.fold if isinstance(spec, StateSpec) else 1)

    def take(self, tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """These rows; all of it where it has no batch axis."""
        return take_rows(tensor, self.axes, rows, self.fold)


Places = Mapping[str, Placed]


def places(spec: ModelSpec) -> tuple[Places, Places]:
    """Of everything that a run takes and gives; a given state is marked as in `Result.all`."""
    given = {each.name: Placed.of(each) for each in (*spec.inputs, *spec.states)}
    states = {f"state {each.name}": Placed.of(each) for each in spec.states}
    return given, {**{each.name: Placed.of(each) for each in spec.outputs}, **states}


def take(values: Tensors, where: Places, rows: Sequence[int]) -> Tensors:
    """The same rows of every tensor."""
    return {name: where[name].take(each, rows) for name, each in values.items()}


def joined(where: Places, several: Sequence[Tensors]) -> Tensors:
    """The rows of all of them as one batch; what has no batch axis as the first has it."""
    return {
        name: torch.cat([each[name] for each in several], where[name].axes.index(BATCH))
        if BATCH in where[name].axes
        else first
        for name, first in several[0].items()
    }


def unusual(
    values: Tensors, spans: Mapping[str, tuple[int, int]], held: Collection[str] = ()
) -> dict[str, Tensors]:
    """The same rows many times as loud, and silent, with a word for each; what is `held` stays."""
    kept = {*spans, *held}
    counts = any(
        name not in kept and not each.is_floating_point() and each.dtype != torch.bool
        for name, each in values.items()
    )
    loud = {name: each if name in kept else _loud(each) for name, each in values.items()}
    return {
        **({ANY: loud} if counts else {}),
        **{
            words: {
                name: each if name in kept else louder(each, times) for name, each in values.items()
            }
            for words, times in ((LOUDER, LOUD), ("very loud", VERY_LOUD))
        },
        "silent": {
            name: each
            if name in held
            else torch.zeros_like(each).clamp(*spans[name]).to(each.dtype)
            if name in spans
            else torch.zeros_like(each)
            for name, each in values.items()
        },
    }


def coupled(
    run: Run,
    given: Places,
    found: Places,
    own: Tensors,
    strangers: Tensors,
    others: Mapping[str, Tensors],
    tolerance: Tolerance,
) -> Company:
    """Row 1 of `own` is compared among `strangers`, alone, and among `others`, whose runs may fail.

    Raises what `run` raises where the model does not take such rows.
    """
    whole, among = run(own), run(_between(given, own, strangers))
    alone = run(take(own, given, (1,)))
    for name, place in found.items():
        if alone[name].dim() != len(place.axes):
            return Company(f"{name} loses an axis at one row")

    rounding = partial(own_rounding, run, given, found, own, 1)
    wanted = take(whole, found, (1,))
    company = Company(_heard(tolerance, wanted, take(among, found, (1,))))
    if company.mixed is None:
        far = tolerance.compare(wanted, take(alone, found, (0,)), Scale.SMALL, [rounding])
        if not far.passes:
            company.mixed = f"a row alone is {far.error:.1e} off, more than may be rounding"
    if company.mixed is None:
        try:
            company.mixed = _lifted(run, given, found, own, strangers, tolerance)
        except Exception as error:  # whatever the model says to so quiet a row
            company.failed = "quiet", error
    for words, crowd in others.items():
        if company.mixed is not None:
            break
        try:
            beside = run(_between(given, own, crowd))
        except Exception as error:  # whatever the model says to such neighbours
            if words != ANY:
                company.failed = company.failed or (words, error)
            continue
        company.mixed = _heard(tolerance, wanted, take(beside, found, (1,)))
    return company


def _lifted(
    run: Run, given: Places, found: Places, own: Tensors, strangers: Tensors, tolerance: Tolerance
) -> str | None:
    """Whether a quiet row is another where it is the loudest: alone, and among louder ones."""
    quiet = {name: louder(each, 1 / LOUD) for name, each in own.items()}
    alone, among = run(take(quiet, given, (1,))), run(_between(given, quiet, strangers))
    rounding = partial(own_rounding, run, given, found, quiet, 1)
    far = tolerance.compare(alone, take(among, found, (1,)), Scale.SMALL, [rounding])
    return None if far.passes else f"a quiet row is {far.error:.1e} off among louder ones"


def own_rounding(
    run: Run, given: Places, found: Places, values: Tensors, row: int
) -> dict[str, Off]:
    """How far a row is off among copies of itself, which tell it nothing: by rounding alone."""
    alone = run(take(values, given, (row,)))
    copies = run(take(values, given, (row,) * _COPIES))
    return {
        name: Off(largest({name: each}, {name: found[name].take(copies[name], (_COPIES - 1,))}))
        for name, each in alone.items()
    }


def added_rounding(
    run: Run, given: Places, found: Places, frames: Sequence[Tensors]
) -> dict[str, Off]:
    """How far a row may have come off by rounding after frames, each with the states before it."""
    added: dict[str, float] = {}
    for frame in frames:
        for name, off in own_rounding(run, given, found, frame, 0).items():
            added[name] = added.get(name, 0.0) + off.error
    return {name: Off(error) for name, error in added.items()}


def _heard(tolerance: Tolerance, wanted: Tensors, actual: Tensors) -> str | None:
    for name, each in wanted.items():
        if not tolerance.difference(each, actual[name], Scale.ALIKE).passes:
            return f"a row of {name} depends on the rows beside it"
    return None


def _between(given: Places, own: Tensors, others: Tensors) -> Tensors:
    """Row 1 of `own` between rows 0 and 2 of `others`."""
    return {
        name: torch.cat(
            [
                given[name].take(source[name], (row,))
                for source, row in ((others, 0), (own, 1), (others, 2))
            ],
            given[name].axes.index(BATCH),
        )
        if BATCH in given[name].axes
        else each
        for name, each in own.items()
    }


def around(values: Tensors, where: Places, peak: float) -> Tensors:
    """Floats whose rows are some below `peak` and some far above, in turns."""
    found = dict(values)
    for name, each in values.items():
        if each.is_floating_point() and BATCH in where[name].axes:
            axis = where[name].axes.index(BATCH)
            sizes = [1] * each.dim()
            sizes[axis] = each.shape[axis]
            rows = torch.arange(each.shape[axis]) % 2
            scale = peak * torch.where(rows > 0, 30.0, 0.3) / max(each.abs().max().item(), 1e-9)
            found[name] = each * scale.reshape(sizes).to(each.dtype)
    return found


def louder(tensor: torch.Tensor, times: float) -> torch.Tensor:
    """So many times as loud; what is no float as it is."""
    return tensor * times if tensor.is_floating_point() else tensor


def _loud(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype == torch.bool or tensor.is_floating_point():
        return louder(tensor, LOUD)
    info = torch.iinfo(tensor.dtype)
    return (tensor.long() * LOUD).clamp(info.min, info.max).to(tensor.dtype)

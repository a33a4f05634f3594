"""The streaming kind: measured with chunks of one step, and with a last chunk of one."""

from dataclasses import dataclass

from carousel.export.compare import Difference
from carousel.export.errors import ExportRefused, first_line
from carousel.export.programs import Candidate
from carousel.export.reference import Expected, Reference
from carousel.export.states import States
from carousel.export.verify import case, compare
from carousel.models.manifest import ParityCase
from carousel.models.spec import Streaming

_TIMES = (7, 100)


@dataclass(frozen=True, slots=True)
class Streams:
    """What was measured: the kind, why not if it is `none`, and the cases that show it."""

    kind: Streaming
    reason: str | None
    cases: tuple[ParityCase, ...]


def measure(candidate: Candidate, reference: Reference, states: States) -> Streams:
    """The streaming kind of one program; outputs and final states both count."""
    if not states.variables:
        return Streams("none", _reason(reference, states, "the model keeps no state"), ())
    if not reference.layout.time:
        return Streams("step", None, ())
    cases: list[ParityCase] = []
    for expected in _sizes(reference):
        for check, chunks in _chunkings(expected.time).items():
            found, text = _run(candidate, expected, chunks)
            if not found.passes:
                text = text or f"error {found.error:.1e}"
                differs = f"chunks differ from the whole ({check} at T={expected.time}: {text})"
                return Streams("none", _reason(reference, states, differs), ())
            cases.append(case(candidate, check, expected, found))
    if not cases:
        return Streams("none", "the module accepts no length of more than one step", ())
    sequence = any(each.per == "sequence" for each in candidate.spec.outputs)
    return Streams("last" if sequence else "step", None, tuple(cases))


def _sizes(reference: Reference) -> list[Expected]:
    batch = 3 if reference.layout.batch else 0
    found = [reference.at(batch, time) for time in _TIMES]
    return [each for each in found if each is not None]


def _chunkings(time: int) -> dict[str, list[int]]:
    return {"chunks 1": [1] * time, "chunks T-1|1": [time - 1, 1]}


def _run(
    candidate: Candidate, expected: Expected, chunks: list[int]
) -> tuple[Difference, str | None]:
    if candidate.spec.run_steps is not None:
        chunks = [1] * expected.time
    try:
        result = candidate.run_chunks(expected.inputs, expected.states, chunks)
    except Exception as error:  # a runtime's own error: the program cannot take the chunk
        return Difference(float("inf"), 0.0), first_line(error)
    return compare(expected, result), None


def _reason(reference: Reference, states: States, measured: str) -> str:
    """Why, in the words of who made the model."""
    layers = dict(reference.original.module.named_modules())
    for path in reference.layout.probes[0].seen.calls.layers:
        if getattr(layers[path], "bidirectional", False):
            name = f"the layer {path} is" if path else "it is"
            return f"{name} bidirectional: it reads a sequence from both ends"
    if states.computed:
        return f"the initial state of {states.computed[0]} is computed from the input"
    return measured


def refuse_unservable(streams: Streams, run_steps: int | None) -> None:
    """A loop over time is served frame by frame; where frames do not equal the whole, refuse."""
    if run_steps is not None and streams.kind == "none":
        raise ExportRefused(
            "forward loops over the time steps, and stepping it one at a time does not give the "
            f"same: {streams.reason}",
            "use a recurrent layer instead of the loop, or export the module of a single step",
        )

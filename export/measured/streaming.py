"""The streaming kind: measured with chunks of one step, and with a last chunk of one.

Halves would hide a seam: a convolution before an LSTM passes 50|50 at 3e-8 and fails 99|1 at 2e-2.
"""

from dataclasses import dataclass

from carousel.export.measured import ends, settings
from carousel.export.measured.cases import Cases
from carousel.export.measured.chunks import chunked
from carousel.export.measured.memory import foresees, forgets, remembers
from carousel.export.measured.subject import Expected, Reference
from carousel.export.programs.candidate import Candidate
from carousel.models.spec import ModelSpec, Streaming

_TIMES = ((7, 100), (2,))  # where neither of the first is accepted, the second
_BATCH = 3


@dataclass(frozen=True, slots=True)
class Streams:
    """What was measured: the kind, why not if it is `none`, and the cases that show it."""

    kind: Streaming
    reason: str | None
    cases: Cases | None = None


def measure(candidate: Candidate, reference: Reference, least: int | None) -> Streams:
    """The streaming kind of one program that takes `least` steps; outputs and final states both
    count.
    """
    subject = reference.subject
    spec, never = subject.spec, subject.never_streams()
    if never is not None:
        return Streams("none", never)
    if not spec.states:
        return Streams("none", subject.explain("the model keeps no state"))
    if spec.is_framed:
        return Streams("step", None)
    if any(each.stride is not None for each in spec.outputs):
        longer = any((each.stride or 1) > 1 for each in spec.outputs)
        how = "at longer intervals than inputs" if longer else "for other time steps than inputs"
        return Streams("none", f"outputs come {how}")
    if least is not None:
        few = f"the {subject.noun} takes no sequence of fewer than {least} steps"
        return Streams("none", subject.explain(few))
    cases, sizes = Cases(candidate.kind), _sizes(reference)
    for expected in sizes:
        for check, chunks in _chunkings(spec, expected.time).items():
            held = chunked(candidate.stepper, expected, chunks)
            if not held.found.passes:
                text = f"chunks differ from the whole ({check} at T={expected.time}: {held.text})"
                return Streams("none", subject.explain(text))
            cases.add(check, expected.batch, expected.time, held.found)
        knows = foresees(candidate, expected, reference)
        knows = knows or remembers(candidate, expected, reference)
        if knows is not None:
            return Streams("none", subject.explain(knows))
    if not sizes:
        return Streams("none", f"the {subject.noun} takes no sequence of more than one step")
    forgotten = forgets(candidate, reference)
    if forgotten is not None:
        return Streams("none", subject.explain(forgotten))
    late = settings.steps_differ(candidate.stepper, reference)
    late = late or ends.steps_differ(candidate.stepper, reference)
    if late is None and candidate.seldom is not None and candidate.seldom.steps_differ:
        late = "chunks differ from the whole at events that the example does not have"
    if late is not None:
        return Streams("none", subject.explain(late))
    sequence = any(each.per == "sequence" for each in spec.outputs)
    return Streams("last" if sequence else "step", None, cases)


def _sizes(reference: Reference) -> list[Expected]:
    batch = _BATCH if reference.subject.spec.has_batch else 0
    for times in _TIMES:
        found = [reference.at(batch, time) for time in times]
        if any(found):
            return [each for each in found if each is not None]
    return []


def _chunkings(spec: ModelSpec, time: int) -> dict[str, list[int]]:
    if spec.run_steps is not None:
        return {"chunks 1": [1] * time}
    return {"chunks 1": [1] * time, "chunks T-1|1": [time - 1, 1]}

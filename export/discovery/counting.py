"""Whether integers beside a sequence say how many steps each row has, or are any other number."""

import torch

from carousel.export.discovery.hypotheses import Hypothesis
from carousel.export.errors import ForwardFailed
from carousel.export.measured.sampling import Sampler, take_steps
from carousel.export.measured.tolerance import USUAL
from carousel.export.module.original import Original, Values
from carousel.models.spec import TIME


def counting(original: Original, sampler: Sampler, hypothesis: Hypothesis) -> list[str]:
    """The inputs of `sampler` that count steps as far as the example tells, where running does not
    say otherwise.
    """
    return [
        name
        for name, value in sampler.example.items()
        if name != sampler.lengths
        and TIME not in sampler.axes[name]
        and _may_count(value, hypothesis.time)
        and _counts(original, sampler, name, hypothesis)
    ]


def _may_count(value: torch.Tensor, time: int) -> bool:
    """Whether they are integers: none below 1, and the largest is all the steps there are."""
    plain = (
        value.dim() == 0
        or value.numel() == 0
        or value.is_floating_point()
        or value.dtype == torch.bool
    )
    return not plain and time > 1 and int(value.min()) >= 1 and int(value.max()) == time


def _counts(original: Original, sampler: Sampler, name: str, hypothesis: Hypothesis) -> bool:
    """Whether an end past the sequence is refused or means the end of the sequence, or what stands
    past the ends makes no difference. A label whose largest happens to be `time` does neither.
    """
    batch, time = hypothesis.batch, hypothesis.time
    told, axes = sampler.example[name], sampler.axes
    values = {**sampler.draw(batch, time, 7), name: told}
    others = sampler.draw(batch, time, 8)
    ends = told.clamp(max=time - 1)
    shorter = {each: take_steps(value, axes[each], 0, time - 1) for each, value in values.items()}
    found = _answers(original, {**shorter, name: ends})
    past = _answers(original, shorter)
    if found is not None and (past is None or USUAL.compare(found, past).passes):
        return True
    padded = {
        each: torch.cat(
            [
                take_steps(value, axes[each], 0, time - 1),
                take_steps(others[each], axes[each], time - 1, time),
            ],
            axes[each].index(TIME),
        )
        if TIME in axes[each]
        else value
        for each, value in values.items()
    }
    found, past = (_answers(original, {**each, name: ends}) for each in (values, padded))
    return found is None or past is None or USUAL.compare(found, past).passes


def _answers(original: Original, values: Values) -> dict[str, torch.Tensor] | None:
    """What forward returns, None where it does not take the values."""
    try:
        return dict(original.run(values).outputs)
    except ForwardFailed:
        return None

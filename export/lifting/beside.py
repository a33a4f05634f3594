"""States of forward's own code beside those of torch's layers and cells: whether a look is due."""

from carousel.export.discovery.layout import Layout
from carousel.export.lifting.candidates import MANY, Candidates
from carousel.export.lifting.finders import find_scans
from carousel.export.lifting.recording import LAYERS
from carousel.export.lifting.shifts import find_shifts
from carousel.export.lifting.sites import Key
from carousel.export.lifting.step import UNFIT
from carousel.export.lifting.trial import Trial
from carousel.export.module.original import Original

_CELLS = ("gru_cell", "lstm_cell", "rnn_tanh_cell", "rnn_relu_cell")


def more_states(original: Original, layout: Layout) -> bool:
    """Whether a few steps show what may be such a state: a start and its new value, or an operator
    along time. It costs as much as a few short runs.
    """
    trial = Trial(original, layout)
    try:
        values, other = (trial.draw(layout.batch, MANY, seed) for seed in (1, 2))
        one, two, many = (trial.record(trial.part(values, 0, steps)) for steps in (1, 2, MANY))
        another = trial.record(trial.part(other, 0, 1))
    except UNFIT:  # what forward says to so few steps
        return False
    certain, _ = Candidates(one, another, two, many).options()
    known = (*LAYERS, *_CELLS)
    beside = any(
        not isinstance(each, Key) or each.site.function not in known
        for after in certain.values()
        for each in after
    )
    return beside or any(find_scans(one, two)) or any(find_shifts(one, many))

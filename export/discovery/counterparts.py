"""Inputs that may be states though nothing calls them so: an output has their shape.

With a time axis a run tells: as states they give in chunks what the whole gives, or they don't.
Without one no run can: fed back or sent anew, a frame is a frame. Then the caller is asked.
"""

import re
from collections.abc import Mapping, Sequence

from carousel.export.discovery.carried import Carried, shaken
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.states import States
from carousel.export.errors import ExportRefused
from carousel.export.module.original import Original
from carousel.models.spec import TIME

# What is sent with every frame, whatever comes back in its shape.
_SENT = re.compile(r"\w*(masks?|starts?|actions?|rewards?|lengths?|ids?)|dones?|resets?")
# What is kept, though it comes back as all that forward returns.
_KEPT = re.compile(r"(\w*_)?(prev|previous|past|last|old|before)(_\w*)?")


def find_counterparts(
    original: Original,
    layout: Layout,
    carried: Sequence[Carried],
    declared: Mapping[str, str | None] | None,
) -> dict[str, str]:
    """Tensors of further parameters, each with an output of its axes that is no other's.

    The first output is the answer. Nothing where the caller has said which are states.
    """
    if declared is not None:
        return {}
    values = shaken(original)
    seen = original.run(values).outputs
    first = original.signature.leaves(next(iter(original.signature.trees)))
    taken = {each.output for each in carried} | ({next(iter(seen))} if len(seen) > 1 else set())
    timed = any(TIME in layout.sampler.axes.get(leaf, ()) for leaf in first)
    known = {*first, *(each.leaf for each in carried)}
    found: dict[str, str] = {}
    for leaf, value in values.items():
        axes = layout.sampler.axes.get(leaf, ())
        called = leaf.split(".", 1)[0]
        if leaf in known or not axes or (timed and TIME in axes) or _SENT.fullmatch(called):
            continue
        if len(seen) == 1 and not _KEPT.fullmatch(called):
            continue
        for name, each in layout.outputs.items():
            if name not in taken and each.axes == axes and seen[name].dtype == value.dtype:
                found[leaf] = name
                taken.add(name)
                break
    return found


def question(original: Original, states: States, maybe: Mapping[str, str]) -> ExportRefused | None:
    """What to ask where frames have such an input, unless it is one of several alike.

    Two inputs of one shape that come back as two outputs are two inputs, where nothing else in the
    module is recurrent.
    """
    values = original.signature.tensors()
    first = original.signature.leaves(next(iter(original.signature.trees)))
    shapes = {values[leaf].shape for leaf in first}
    recurrent = bool(states.variables or states.windows or states.alone)
    asked = [leaf for leaf in maybe if recurrent or values[leaf].shape not in shapes]
    if not asked:
        return None
    names = list(dict.fromkeys(leaf.split(".", 1)[0] for leaf in asked))
    kept = [each.argument for each in states.variables if each.argument is not None]
    sent = list(dict.fromkeys(each.split(".", 1)[0] for each in kept))
    every = [*sent, *(each for each in names if each not in sent)]
    flags = " ".join(f"--state {each}" for each in every)
    without = " ".join(f"--state {each}" for each in sent) or "--no-states"
    return ExportRefused(
        f"{', '.join(map(repr, asked))} may be a state: forward returns its shape as "
        f"{', '.join(repr(maybe[leaf]) for leaf in asked)}, and without a time axis no run can "
        "tell",
        f"say states={tuple(every)!r} ({flags}) if it is carried from frame to frame, or "
        f"states={tuple(sent)!r} ({without}) if it is sent with every frame",
    )

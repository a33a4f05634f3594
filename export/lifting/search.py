"""Every way in which forward's own code may hide states, the likeliest first."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from carousel.export.discovery.discover import Discovery
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.spans import find_spans
from carousel.export.discovery.state import States
from carousel.export.errors import ExportRefused
from carousel.export.lifting.lifter import Lifter, NotLifted
from carousel.export.lifting.padding import ends_rows
from carousel.export.lifting.states import SharedState, lifted_states
from carousel.export.measured.sampling import Axes
from carousel.export.module.original import Original
from carousel.export.module.signature import Signature
from carousel.export.module.unwatchable import WAY_OUT
from carousel.export.options import Options
from carousel.models.spec import BATCH, TIME

_LAYOUTS = 3  # with a time axis


@dataclass(slots=True)
class Search:
    """Looks for them, forward called as the example calls it. Afterwards `reason` says why the
    likeliest axes show none, `loops` whether forward walks over time step by step, `unseen` whether
    it does so inside of TorchScript, and `axes` what those axes are; `notes` are worth saying.
    `mixes` is the refusal of states that sessions would share.
    """

    original: Original
    signature: Signature
    options: Options
    reason: str | None = None
    loops: bool = False
    unseen: bool = False
    mixes: ExportRefused | None = None
    axes: Mapping[str, Axes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def found(self) -> Iterator[tuple[Layout, States]]:
        """Axes, and states that hold by them."""
        self.original.signature, self.original.omit = self.signature, frozenset()
        shared: SharedState | None = None
        layouts: list[Layout] = []
        for layout in self._layouts(alone=False):
            layouts.append(layout)
            found = self._states(layout)
            if isinstance(found, States):
                yield replace(layout, notes=(*layout.notes, *self.notes)), found
            elif isinstance(found, SharedState):
                shared = shared or found
        for layout in self._padded(layouts):
            found = self._states(layout)
            if isinstance(found, States):
                yield layout, found
        for layout in self._layouts(alone=True) if shared is not None else ():
            found = self._states(layout)
            if isinstance(found, States):
                notes = (*layout.notes, f"one row at a time: {shared}", *self.notes)
                yield replace(layout, notes=notes), found

    def refusal(self) -> ExportRefused | None:
        """Why a forward that walks over time is not to be held at one length."""
        if self.mixes is not None or not self.loops:
            return self.mixes
        tensors = self.original.signature.tensors()
        fixed = {
            name: tuple(
                size if axis == TIME else axis
                for axis, size in zip(axes, tensors[name].shape, strict=True)
            )
            for name, axes in self.axes.items()
            if TIME in axes
        }
        flags = " ".join(
            f"--axes {name}={','.join(map(str, each))}" for name, each in fixed.items()
        )
        if self.unseen:
            return ExportRefused(
                "forward loops over the time steps inside of TorchScript, and its state cannot be "
                "watched",
                WAY_OUT,
            )
        return ExportRefused(
            f"forward loops over the time steps and keeps its state to itself ({self.reason}), so "
            "that a program would be of one length",
            "return the state and take it as an argument of forward, or fix the length: "
            f"axes={fixed} ({flags})",
        )

    def _layouts(self, *, alone: bool, lengths: str | None = None) -> Iterator[Layout]:
        original, options = self.original, self.options
        seen = original.run(original.signature.tensors())
        spans = find_spans(original, seen, options.ranges, lengths, frozenset())
        discovery = Discovery(original, (), lengths, options.axes, seen, spans)
        return itertools.islice(discovery.timed(alone=alone), _LAYOUTS)

    def _padded(self, before: Sequence[Layout]) -> Iterator[Layout]:
        """Layouts by which an input says how long each row is: nobody sends it, as rows come
        without their padding.
        """
        counts = {
            name: None
            for layout in before
            for name in layout.sampler.counts
            if layout.sampler.axes[name] == (BATCH,)
        }
        for name in counts:
            for layout in self._layouts(alone=False, lengths=name):
                if ends_rows(self.original, layout):
                    note = f"{name} is how long each row is: rows are run without their padding"
                    yield replace(layout, notes=(*layout.notes, note))

    def _states(self, layout: Layout) -> States | NotLifted:
        lifter = Lifter(self.original, layout)
        try:
            found = lifted_states(lifter.lift(), layout)
            self.axes, self.loops = layout.sampler.axes, lifter.loops()
            if lifter.keeps:
                self.notes.append("what forward keeps from call to call starts anew in a session")
            return found
        except NotLifted as error:
            if self.reason is None:
                self.reason, self.axes = str(error), layout.sampler.axes
                self.loops = lifter.loops()
                self.unseen = lifter.unseen
            return error

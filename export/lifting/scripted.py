"""TorchScript parts of a forward, told to a mode as one call each: torch shows it none of them.

A function that loops or decides is run as the Python that it was made from, so that what it does at
each step is seen; a module that loops has no Python any more.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from carousel.export.lifting.recording import SCRIPTED
from carousel.export.module.scripts import KINDS, decides, python_behind


@contextmanager
def watching(mode: TorchFunctionMode) -> Iterator[None]:
    """Within it `mode` sees every call of torch, and of functions and modules in TorchScript."""
    with ExitStack() as stack:
        for kind in KINDS:
            stack.callback(setattr, kind, "__call__", kind.__call__)
            kind.__call__ = _told(kind.__call__, mode)
        stack.enter_context(mode)
        yield


def operators(run: Callable[[], object]) -> int:
    """How many operators a run takes, those inside of TorchScript among them."""
    counter: Any = _Counter()  # type: ignore[no-untyped-call]
    with counter:
        run()
    return int(counter.count)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _told(call: Any, mode: TorchFunctionMode) -> Any:
    def scripted(own: Any, *args: Any, **kwargs: Any) -> Any:
        python = python_behind(own)
        loops = own.inlined_graph.findNode("prim::Loop") is not None
        if python is not None and (loops or decides(own)):
            return python(*args, **kwargs)

        def part(*args: Any, **kwargs: Any) -> Any:
            return call(own, *args, **kwargs)

        part.__name__ = SCRIPTED
        with torch._C.DisableTorchFunction():
            seen: Any = mode
            return seen.__torch_function__(part, (), args, kwargs)

    return scripted

"""TorchScript parts of a forward, told to a mode as one call each: torch shows it none of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_KINDS: tuple[Any, ...] = (torch._C.ScriptFunction, torch._C.ScriptMethod)


@contextmanager
def watching(mode: TorchFunctionMode) -> Iterator[None]:
    """Within it `mode` sees every call of torch, and of functions and modules in TorchScript."""
    with ExitStack() as stack:
        for kind in _KINDS:
            stack.callback(setattr, kind, "__call__", kind.__call__)
            kind.__call__ = _told(kind.__call__, mode)
        stack.enter_context(mode)
        yield


def _told(call: Any, mode: TorchFunctionMode) -> Any:
    def scripted(own: Any, *args: Any, **kwargs: Any) -> Any:
        def scripted_part(*args: Any, **kwargs: Any) -> Any:
            return call(own, *args, **kwargs)

        with torch._C.DisableTorchFunction():
            seen: Any = mode
            return seen.__torch_function__(scripted_part, (), args, kwargs)

    return scripted

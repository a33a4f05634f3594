"""What every method that works on a device has around it: its stream, and the news of its end."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from carousel.service.backends.base import DeviceFailed
from carousel.service.backends.host_link import HostLink


class Linked(Protocol):
    """Whoever has a link to a device."""

    @property
    def link(self) -> HostLink: ...


_P = ParamSpec("_P")
_R = TypeVar("_R")
_Owner = TypeVar("_Owner", bound=Linked)

# torch's words, and ONNX Runtime's.
_LOST = ("CUDA error", "CUDA failure")
_NO_ROOM = "out of memory"


def on_device(
    method: Callable[Concatenate[_Owner, _P], _R],
) -> Callable[Concatenate[_Owner, _P], _R]:
    """Run a method on its link's stream; DeviceFailed for what CUDA reports of itself.

    CUDA does so at whatever call comes next. Memory that cannot be had is no such thing: a smaller
    batch may find some.
    """

    @wraps(method)
    def run(self: _Owner, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            with self.link.running():
                return method(self, *args, **kwargs)
        except Exception as error:
            told = str(error)
            if any(words in told for words in _LOST) and _NO_ROOM not in told:
                raise DeviceFailed(told) from error
            raise

    return run

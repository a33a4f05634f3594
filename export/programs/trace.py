"""The trace: one recording of the lifted module, from which both programs are made."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.jit._trace import TracerWarning
from torch.overrides import TorchFunctionMode

_INTERNAL: Any = torch._jit_internal
_OURS = tuple(
    str(each)
    for each in (
        Path(torch.__file__).parent,
        Path(__file__).parents[1],
        Path(__file__).resolve().parents[1],
    )
)


@dataclass(frozen=True, slots=True)
class Traced:
    """The recording, and the lines of forward whose results stand in it as they were."""

    module: torch.jit.ScriptModule
    kept: tuple[str, ...]


def trace(lifted: torch.nn.Module, example: Sequence[torch.Tensor]) -> Traced:
    """Record one run of `lifted` on `example`."""
    lifted.training = False  # not eval(): that would run the user's own train()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_raising_left_alone(lifted))
        stack.enter_context(_functions_opened())
        stack.enter_context(_Traceable())
        said = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always", TracerWarning)
        traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            lifted, tuple(example), check_trace=False
        )
    places = [
        f"{Path(each.filename).name}:{each.lineno}"
        for each in said
        if issubclass(each.category, TracerWarning) and not each.filename.startswith(_OURS)
    ]
    return Traced(traced, tuple(dict.fromkeys(places)))


class _Traceable(TorchFunctionMode):
    """Gives torch.where tensors for the truths that it is given, which no trace takes."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.where and any(isinstance(each, bool) for each in args):
            args = [torch.tensor(each) if isinstance(each, bool) else each for each in args]
        return func(*args, **(kwargs or {}))


class _Context:
    """What a function with its own gradient keeps for it, which nobody asks for here."""

    needs_input_grad: tuple[bool, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


@contextmanager
def _functions_opened() -> Iterator[None]:
    """Run the forward of each autograd.Function, of which a trace would record the name alone."""
    function: Any = torch.autograd.Function
    # Behind Function.apply, which some modules hold by another name (`pscan = PScan.apply`).
    base: Any = torch.autograd.function._SingleLevelFunction
    plain = function.setup_context

    def opened(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if kind.setup_context is not plain:
            return kind.forward(*args, **kwargs)
        return kind.forward(_Context(), *args, **kwargs)

    base.apply = classmethod(opened)
    try:
        yield
    finally:
        del base.apply


@contextmanager
def _raising_left_alone(lifted: torch.nn.Module) -> Iterator[None]:
    """Have torch not look at properties that raise ("not attached to a Trainer").

    The trace reads every attribute of every module, whether forward does or not. The caller puts
    the modules' attributes back.
    """
    for module in lifted.modules():
        kind = type(module)
        raising = [
            name
            for name in dir(kind)
            if isinstance(getattr(kind, name, None), property) and not _is_readable(module, name)
        ]
        if raising:
            known = getattr(module, "__jit_ignored_attributes__", [])
            module.__dict__["__jit_ignored_attributes__"] = [*known, *raising]
    looks = _INTERNAL.module_has_exports
    # Methods that are there for scripts beside forward are none of a trace's business, and looking
    # for them reads every attribute.
    _INTERNAL.module_has_exports = lambda module: False
    try:
        yield
    finally:
        _INTERNAL.module_has_exports = looks


def _is_readable(module: torch.nn.Module, name: str) -> bool:
    try:
        getattr(module, name)
    except Exception:  # whatever the user's own property says
        return False
    return True


def script_bytes(traced: torch.jit.ScriptModule, freeze: bool) -> bytes:
    """The trace as a TorchScript archive, its weights inlined with `freeze`."""
    buffer = io.BytesIO()
    if freeze:
        traced = torch.jit.freeze(traced.eval(), optimize_numerics=False)
    torch.jit.save(traced, buffer)
    return buffer.getvalue()

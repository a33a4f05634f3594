"""The user's module, run as it is: in eval mode, without gradients, put back after every run."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from carousel.export.errors import ExportError, ForwardFailed
from carousel.export.module.decisions import Decisions, Settled
from carousel.export.module.layers import Calls, Hooks, recurrent_layers
from carousel.export.module.scripts import decisions_in_python
from carousel.export.module.signature import Call, Signature
from carousel.export.module.snapshot import Snapshot, detach_attributes
from carousel.export.module.tree import Tree, flatten

Values = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Observation:
    """One run: what `forward` returned, its tensors by name, and what the layers did.

    `changed` names the attributes, `written` the inputs that forward wrote into.
    """

    tree: Tree
    outputs: dict[str, torch.Tensor]
    calls: Calls
    changed: tuple[str, ...]
    written: tuple[str, ...] = ()


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, DataParallel and DistributedDataParallel wrappers."""
    while True:
        # Not getattr, which may be the user's own; a script's dict has no get.
        if "_orig_mod" in module._modules:
            module = module._modules["_orig_mod"]  # type: ignore[assignment]
        elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        else:
            return module


class Original:
    """The untouched module. Runs happen inside `held()`, which leaves it bit-equal as it was.

    `answers` are those that programs give where forward decides by values, and `compared` the
    numbers that it compares them with; `run` lets forward decide by itself.
    """

    def __init__(self, module: nn.Module, signature: Signature) -> None:
        self.module = module
        self.signature = signature
        self.omit: frozenset[str] = frozenset()
        self.zero: frozenset[str] = frozenset()
        self.answers: Mapping[str, bool] = {}
        self.compared: frozenset[float] = frozenset()
        self._inside: Snapshot | None = None
        self._weights: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def __repr__(self) -> str:
        return f"<Original {type(self.module).__name__} omit={sorted(self.omit)}>"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Eval mode, no gradients, compiled parts run eagerly; all undone at the end."""

        before = Snapshot(self.module)
        self._weights = [
            (name, each, each.detach().clone()) for name, each in self.module.named_parameters()
        ]
        with ExitStack() as stack:
            stack.callback(self._rewrite)
            stack.callback(before.restore)
            stack.enter_context(torch.no_grad())
            _uncompile(self.module)
            for each in self.module.modules():
                each.training = False
            detach_attributes(self.module)
            self._inside = Snapshot(self.module)
            yield
        self._inside = None

    def run(
        self,
        values: Values,
        omit: Collection[str] | None = None,
        decisions: Decisions | None = None,
        constants: Collection[str] = (),
        *,
        exact: bool = False,
        answers: Mapping[str, bool] | None = None,
    ) -> Observation:
        """Call the module; its attributes and buffers are put back afterwards.

        `decisions` notes what forward decides by the inputs that are not in `constants`, and
        `answers` decides for it. `exact`: in float64, which fails where forward makes numbers of
        one precision by itself.
        """
        omitted = self.omit if omit is None else omit
        given = {
            name: each.double() if exact and each.is_floating_point() else each.clone()
            for name, each in values.items()
        }
        call = self.signature.call(given, omitted)
        with self.restored() as snapshot, self.doubled() if exact else nullcontext():
            hooks = Hooks(self.module, zero=self.zero, attributes=snapshot.storages())
            settled = Settled(answers) if answers else nullcontext()
            judged = decisions is not None or answers
            python = decisions_in_python() if judged else nullcontext()
            with hooks, decisions or nullcontext(), settled, python:
                if decisions is not None:
                    decisions.watch([each for name, each in given.items() if name not in constants])
                tree = self._forward(call)
            outputs = {name: each.detach() for name, each in flatten(tree, "output").items()}
            written = tuple(name for name, each in given.items() if each._version)
            return Observation(tree, outputs, hooks.calls, snapshot.changed(), written)

    def twice(self, values: Values) -> list[dict[str, torch.Tensor]]:
        """What forward answers to two calls that are the same, its layers from zeros in both."""
        found: list[dict[str, torch.Tensor]] = []
        with self.restored():
            for _ in range(2):
                given = {name: each.clone() for name, each in values.items()}
                with Hooks(self.module, zero=recurrent_layers(self.module)):
                    tree = self._forward(self.signature.call(given, self.omit))
                outputs = flatten(tree, "output").items()
                found.append({name: each.detach().clone() for name, each in outputs})
        return found

    def _forward(self, call: Call) -> Tree:
        try:
            return self.module(*call.args, **call.kwargs)
        except ExportError:  # of the hooks inside
            raise
        except Exception as error:  # whatever the user's code raises
            raise ForwardFailed(error) from error

    @contextmanager
    def doubled(self) -> Iterator[None]:
        """All the module's own numbers in float64, in the very tensors that it has."""
        assert self._inside is not None
        others = (each for _, each in self.plain_tensors())
        tensors = [*self.module.parameters(), *others]
        before = [(each, each.data) for each in tensors if each.is_floating_point()]
        default = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64)
            for each, data in before:
                each.data = data.double()
            yield
        finally:
            torch.set_default_dtype(default)
            for each, data in before:
                each.data = data

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Within it forward decides as programs do."""
        with decisions_in_python(), Settled(self.answers) if self.answers else nullcontext():
            yield

    def plain_tensors(self) -> list[tuple[str, torch.Tensor]]:
        """The buffers, and the tensors in attributes, by name."""
        assert self._inside is not None
        return self._inside.named_tensors()

    def rewritten(self) -> list[str]:
        """Names of the weights that forward has changed."""
        return [name for name, now, was in self._weights if not _is_same(now, was)]

    def _rewrite(self) -> None:
        with torch.no_grad():
            for _, now, was in self._weights:
                if not _is_same(now, was):
                    now.copy_(was)

    @contextmanager
    def restored(self) -> Iterator[Snapshot]:
        """Whatever happens within leaves no trace on the module."""
        assert self._inside is not None, "the original runs inside held()"
        try:
            yield self._inside
        finally:
            self._inside.restore()


def _is_same(now: torch.Tensor, was: torch.Tensor) -> bool:
    return bool(torch.eq(was, now).logical_or(was != was).all())


def _uncompile(module: nn.Module) -> None:
    """Compiled parts run as they were written, which is what can be watched and traced."""
    for each in list(module.modules()):
        if isinstance(each, torch.jit.ScriptModule):
            continue
        if getattr(each, "_compiled_call_impl", None) is not None:
            each.__dict__["_compiled_call_impl"] = None
        for name, child in each._modules.items():
            if child is not None and "_orig_mod" in child._modules:
                each._modules[name] = unwrap(child)

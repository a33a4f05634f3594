"""Recurrent layers inside a module: watched while it runs, and given their state from outside.

Shapes of one layer's state: (L, B, H) for RNN, LSTM and GRU, (B, H) for cells; c likewise. The
batch axis is always the last but one.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from carousel.export.errors import ExportRefused

State = tuple[torch.Tensor, ...]  # (h,) or (h, c)
Parts = Mapping[int, torch.Tensor]  # some parts of a state: 0 for h, 1 for c


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One call of a recurrent layer: the state it was given (None: its own zeros) and left.

    `steps` is the number of time steps it saw, None for a cell; `lengths` those of a packed input.
    """

    initial: State | None
    final: State
    steps: int | None
    lengths: torch.Tensor | None

    @property
    def first(self) -> State:
        """The initial state, zeros written out."""
        if self.initial is not None:
            return self.initial
        return tuple(torch.zeros_like(part) for part in self.final)


@dataclass(slots=True)
class Calls:
    """What recurrent layers and embeddings did during one run of a module.

    `attributes` names, for each layer that was given one, the attribute whose tensor was its state.
    """

    layers: dict[str, list[LayerCall]] = field(default_factory=dict)
    bypassed: set[str] = field(default_factory=set)
    tokens: list[tuple[torch.Tensor, int]] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


_LAYERS = (nn.RNN, nn.LSTM, nn.GRU)
CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)  # others of their base are somebody's own code


def recurrent_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Every RNN, LSTM, GRU and cell in `module` by its path; the path of `module` itself is ''."""
    return {
        path: each for path, each in module.named_modules() if isinstance(each, (*_LAYERS, *CELLS))
    }


def is_lstm(layer: nn.Module) -> bool:
    """Whether the layer's state is the pair (h, c)."""
    return isinstance(layer, (nn.LSTM, nn.LSTMCell))


class Hooks:
    """Hooks on the recurrent layers of a module, there only inside the `with` block.

    `feed` gives a layer's first call its initial state; layers in `zero` start at zeros whose size
    follows the input, which a trace keeps variable. `attributes` names tensors by the address of
    their storage. With `count` calls of `.forward` that go
    around the hooks are noticed.
    """

    def __init__(
        self,
        module: nn.Module,
        feed: Mapping[str, Parts] | None = None,
        zero: Collection[str] = (),
        attributes: Mapping[int, str] | None = None,
        count: bool = True,
    ) -> None:
        self.calls = Calls()
        self._module = module
        self._feed = dict(feed or {})
        self._zero = set(zero)
        self._attributes = dict(attributes or {})
        self._count = count
        self._entered: dict[str, int] = {}
        self._given: dict[str, State | None] = {}
        self._remove: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        for path, layer in recurrent_layers(self._module).items():
            before = layer.register_forward_pre_hook(self._before(path), with_kwargs=True)
            after = layer.register_forward_hook(self._after(path), with_kwargs=True)
            self._remove += [before.remove, after.remove]
            if self._count:
                self._wrap(path, layer)
        for each in self._module.modules():
            if isinstance(each, nn.Embedding):
                handle = each.register_forward_pre_hook(self._token(each.num_embeddings))
                self._remove.append(handle.remove)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for remove in reversed(self._remove):
            remove()
        for path, entered in self._entered.items():
            if entered > len(self.calls.layers.get(path, ())):
                self.calls.bypassed.add(path)

    def _wrap(self, path: str, layer: nn.Module) -> None:
        forward = layer.forward

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._entered[path] = self._entered.get(path, 0) + 1
            return forward(*args, **kwargs)

        layer.__dict__["forward"] = counted
        self._remove.append(lambda: layer.__dict__.pop("forward", None))

    def _before(self, path: str) -> Callable[..., Any]:
        def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            inputs = args[0] if args else kwargs["input"]
            state = args[1] if len(args) > 1 else kwargs.get("hx")
            for part in () if state is None else _as_state(state):
                address = part.untyped_storage().data_ptr()
                if address in self._attributes:
                    self.calls.attributes[path] = self._attributes[address]
            if path in self._feed and path not in self.calls.layers:
                state = _as_argument(layer, _merged(state, self._feed[path]))
            elif path in self._zero and path not in self.calls.layers:
                state = _as_argument(layer, _zeros(layer, inputs))
            self._given[path] = None if state is None else _as_state(state)
            if state is None:
                return None
            if len(args) > 1:
                return (inputs, state, *args[2:]), kwargs
            return args, {**kwargs, "hx": state}

        return before

    def _after(self, path: str) -> Callable[..., Any]:
        def after(layer: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
            inputs = args[0] if args else kwargs["input"]
            packed = isinstance(inputs, PackedSequence)
            lengths = pad_packed_sequence(inputs)[1] if packed and self._count else None
            steps = None
            if isinstance(layer, nn.RNNBase):
                steps = len(inputs.batch_sizes) if packed else _steps(layer, inputs)
            final = _final(path, layer, output)
            call = LayerCall(self._given.pop(path), final, steps, lengths)
            self.calls.layers.setdefault(path, []).append(call)

        return after

    def _token(self, num_embeddings: int) -> Callable[..., None]:
        def before(_: nn.Module, args: tuple[Any, ...]) -> None:
            if args:
                self.calls.tokens.append((args[0], num_embeddings))

        return before


def _final(path: str, layer: nn.Module, output: Any) -> State:
    """The state a layer leaves; raises ExportRefused where it answers unlike torch's own."""
    cell = isinstance(layer, nn.RNNCellBase)
    if not cell and not (isinstance(output, tuple) and len(output) == 2):
        output = None, None
    state = _as_state(output if cell else output[1])
    whole = all(isinstance(part, torch.Tensor) for part in state)
    if not whole or len(state) != (2 if is_lstm(layer) else 1):
        raise ExportRefused(
            f"the layer {path or 'itself'!r} ({type(layer).__name__}) does not return its final "
            f"state as a torch {'cell' if cell else 'layer'} does",
            "return (output, h_n), or (output, (h_n, c_n)) for an LSTM, and drop what you do not "
            "need outside the layer",
        )
    return state


def _as_state(state: Any) -> State:
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def _as_argument(layer: nn.Module, state: State) -> Any:
    return tuple(state) if is_lstm(layer) else state[0]


def _merged(given: Any, parts: Parts) -> State:
    """The state that the layer was given, with `parts` in place of its own."""
    own = dict(enumerate(() if given is None else _as_state(given)))
    merged = {**own, **parts}
    return tuple(merged[part] for part in sorted(merged))


def _steps(layer: nn.RNNBase, inputs: torch.Tensor) -> int:
    return int(inputs.shape[1 if layer.batch_first and inputs.dim() == 3 else 0])


def _zeros(layer: nn.Module, inputs: Any) -> State:
    """Zeros for every part of a layer's state, made from the input so that a trace follows its
    size and its device.
    """
    assert isinstance(layer, (nn.RNNBase, nn.RNNCellBase))
    if isinstance(inputs, PackedSequence):
        frame = inputs.data[: inputs.batch_sizes[0]]  # (B, F)
    elif isinstance(layer, nn.RNNCellBase):
        frame = inputs  # (B, F) or (F,)
    else:
        frame = inputs[:, 0] if layer.batch_first and inputs.dim() == 3 else inputs[0]
    zero = frame[..., :1] * 0  # (B, 1) or (1,)
    rows = (-1,) if zero.dim() > 1 else ()
    sizes = [layer.hidden_size] * (2 if is_lstm(layer) else 1)
    lead: tuple[int, ...] = ()
    if isinstance(layer, nn.RNNBase):
        sizes[0] = layer.proj_size or layer.hidden_size
        lead = (layer.num_layers * (2 if layer.bidirectional else 1),)
    return tuple(zero.expand(*lead, *rows, size).contiguous() for size in sizes)

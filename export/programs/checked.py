"""oneDNN's LSTM as it should be: torch reads beyond a state of another batch than its input's."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN: Any = torch.ops.aten
_LAYER = _ATEN.mkldnn_rnn_layer.default
_HX = 5  # its place among the arguments
_VALUES = (_ATEN._local_scalar_dense.default, _ATEN.nonzero.default, _ATEN.masked_select.default)


class Checked(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it so
    """Within it such a state raises RuntimeError, also in a TorchScript program.

    nn.LSTM checks sizes in Python, of which a trace has nothing: a program whose state has the
    batch of its example would read and write where it may not. `by_values`: sizes may follow from
    values, so that another run of the same sizes tells nothing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_values = False

    def __repr__(self) -> str:
        return f"<Checked by_values={self.by_values}>"

    def _checked(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.by_values |= func in _VALUES
        if func is _LAYER:
            rows, state = args[0].shape[1], args[_HX].shape
            if state[-2] != rows:
                raise RuntimeError(f"an LSTM of {rows} rows is given the state of {state[-2]}")
        return func(*args, **(kwargs or {}))


# Written into the class itself torch wraps it, and imports its compiler for that: a second.
_kind: Any = Checked
_kind.__torch_dispatch__ = Checked._checked

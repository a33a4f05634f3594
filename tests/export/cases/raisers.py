# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules that raise, assert and check for themselves, as their authors meant it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Plain(nn.Module):
    """A GRU over frames (B, T, 6); `check` sees its input first."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def check(self, x: torch.Tensor) -> None:
        """Raise where the input is not what was meant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        return self.gru(x)[0]


class Attached(Plain):
    """A LightningModule without its trainer: properties that raise, of several kinds."""

    @property
    def trainer(self) -> Any:
        """What Lightning has here."""
        raise RuntimeError("Attached is not attached to a `Trainer`.")

    @property
    def global_step(self) -> int:
        """The same by way of another property."""
        return self.trainer.global_step


class AttachedOddly(Attached):
    """The same with a property that fails otherwise."""

    @property
    def example_input_array(self) -> torch.Tensor:
        """What Lightning has here as well."""
        raise KeyError("example")


class AttachedInside(nn.Module):
    """Such a module as a part of another."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fc = Attached(), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.inner(x))


class AtMostTwenty(Plain):
    """Knows a longest sequence."""

    def check(self, x: torch.Tensor) -> None:
        assert x.size(1) <= 20


class AtLeastThree(Plain):
    """Knows a shortest, and says so."""

    def check(self, x: torch.Tensor) -> None:
        assert x.size(1) >= 3, f"at least 3 frames are needed, not {x.size(1)}"


class Range(Plain):
    """Audio lies between -1 and 1."""

    def check(self, x: torch.Tensor) -> None:
        assert x.abs().max() <= 1.0, "audio must lie in [-1, 1]"


class Divisible(Plain):
    """Takes sequences whose length divides by four."""

    def check(self, x: torch.Tensor) -> None:
        if x.size(1) % 4:
            raise ValueError(f"the length must be divisible by 4, not {x.size(1)}")


class Packs(Plain):
    """Packs by lengths that must be above zero, the longest all there is."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        assert lengths.min() > 0
        assert lengths.max() == x.size(1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class Gathers(Plain):
    """Reads each row's last step by its length."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        assert lengths.min() > 0, "empty rows"
        assert lengths.max() <= x.size(1), "lengths beyond the frames"
        return self.gru(x)[0][torch.arange(x.size(0)), lengths - 1]


class GathersLongest(Gathers):
    """The same, and one row must fill the batch."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        assert lengths.max() == x.size(1), "no row is as long as the batch"
        return super().forward(x, lengths)


class Masks(Gathers):
    """Makes its mask as long as the longest row, which had better be all there is."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        assert lengths.min() >= 1
        valid = torch.arange(int(lengths.max())) < lengths[:, None]
        return self.gru(x)[0] * valid[..., None]


class Odd(Exception):
    """An exception of one's own that must be made with two arguments, and says nothing."""

    def __init__(self, what: str, where: int) -> None:
        super().__init__()
        self.what, self.where = what, where


RAISED: dict[str, Callable[[], BaseException]] = {
    "KeyError": lambda: KeyError(7),
    "StopIteration": StopIteration,
    "Odd": lambda: Odd("frames", 3),
    "AssertionError": AssertionError,
    "NotImplementedError": lambda: NotImplementedError("streaming\nis not\nimplemented"),
    "RecursionError": lambda: RecursionError("too deep"),
}
WHEN: dict[str, Callable[[torch.Tensor], bool]] = {
    "always": lambda _: True,
    "longer": lambda x: x.size(1) > 5,
    "other lengths": lambda x: x.size(1) != 5,
    "one step": lambda x: x.size(1) == 1,
    "other batches": lambda x: x.size(0) != 4,
    "one row": lambda x: x.size(0) == 1,
}


class Raises(Plain):
    """Raises `kind` at the sizes that `when` names."""

    def __init__(self, kind: str, when: str) -> None:
        super().__init__()
        self.kind, self.when = kind, when

    def check(self, x: torch.Tensor) -> None:
        if WHEN[self.when](x):
            raise RAISED[self.kind]()


class LastSix(Plain):
    """Answers with the last six steps, of which a short sequence has fewer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, -6:]


class LastSixForecast(Plain):
    """The same as a forecast: one number a step, in a tuple."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        y = super().forward(x)
        return y[:, -6:].mean(-1), y[:, -1]


class Configured(Plain):
    """Finds what it has not in its configuration, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["config"] = {"rate": 16000}

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return self.__dict__["config"][name]


class Autocast(Plain):
    """Computes in bfloat16 by itself, for which ONNX Runtime has no operators on the CPU."""

    @torch.autocast("cpu", dtype=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).float()

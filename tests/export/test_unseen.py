"""Every tensor that `forward` reads is an input, whatever it comes in, or is refused by name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import tests.export.cases.unseen as unseen
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError
from tests.harness.export_run import proven, proven_by
from tests.harness.export_served import attempt, whole

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
GAIN = torch.rand(4, 1, generator=torch.Generator().manual_seed(2)) + 0.5


@dataclass(frozen=True, slots=True)
class Container:
    """A module, a maker of its argument, and what its inputs are called."""

    make: Callable[[], nn.Module]
    wrap: Callable[[torch.Tensor, torch.Tensor], object]
    names: tuple[str, str] = ("batch.x", "batch.gain")


def _nested(x: torch.Tensor, gain: torch.Tensor) -> object:
    return unseen.Nested(unseen.Features(x, gain), 2.0)


SEEN = {
    "dataclass": Container(unseen.Reads, unseen.Features),
    "frozen, with slots": Container(unseen.Reads, unseen.Frozen),
    "plain object": Container(unseen.Reads, lambda x, gain: unseen.Plain(x, gain.log())),
    "in a dict in a list": Container(
        unseen.ReadsInside,
        lambda x, gain: [{"features": unseen.Features(x, gain)}],
        ("batch.0.features.x", "batch.0.features.gain"),
    ),
    "dict in a dict": Container(
        unseen.ReadsDict, lambda x, gain: {"x": x, "meta": {"gain": gain}},
        ("batch.x", "batch.meta.gain"),
    ),
}  # fmt: skip


def _equal(made: Proven, module: nn.Module, wrap: Callable[..., object]) -> None:
    """Both programs follow both tensors when they change, at another batch and another length."""
    assert made.manifest.spec.has_batch
    for seed, (batch, steps) in enumerate([(1, 7), (3, 4), (3, 4)]):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, steps, 6, generator=generator)
        gain = torch.rand(batch, 1, generator=generator) + 0.5
        with torch.no_grad():
            rows = [wrap(x[row : row + 1], gain[row : row + 1]) for row in range(batch)]
            expected = torch.cat([module.eval()(row) for row in rows])
        for kind in made.manifest.programs:
            found = whole(made, kind, x, gain)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", SEEN)
def test_tensors_in_a_container_are_inputs_under_its_fields(case: str) -> None:
    """Named after the parameter and the field; none is baked in."""
    container = SEEN[case]
    torch.manual_seed(4)
    module = container.make()
    made = proven(module, container.wrap(X, GAIN))
    assert tuple(each.name for each in made.manifest.spec.sent_inputs) == container.names
    assert made.manifest.spec.streaming == "step"
    _equal(made, module, container.wrap)


@pytest.mark.parametrize(
    ("make", "wrap"), [(unseen.Reads, unseen.Named), (unseen.ReadsNested, _nested)]
)
def test_named_tuples_are_looked_through(
    make: Callable[[], nn.Module], wrap: Callable[..., object]
) -> None:
    """Alone, and with an object inside: two inputs, in the order of the fields."""
    torch.manual_seed(4)
    module = make()
    made = proven(module, wrap(X, GAIN))
    names = [each.name for each in made.manifest.spec.sent_inputs]
    assert len(names) == 2
    assert all(name.startswith("batch.") for name in names)
    _equal(made, module, wrap)


def test_slots_are_walked_or_refused_by_name() -> None:
    """An object without a __dict__ is no way around."""
    torch.manual_seed(4)
    module = unseen.Reads()
    made = attempt(module, (unseen.Slots(X, GAIN),))
    if isinstance(made, ExportError):
        assert "batch" in str(made)
        return
    inputs = [each.name for each in made.manifest.spec.sent_inputs]
    assert sorted(inputs) == ["batch.gain", "batch.x"]
    if inputs[0] == "batch.x":
        _equal(made, module, unseen.Slots)


def test_an_object_beside_a_tensor_is_looked_through() -> None:
    """Its numbers, words and absent tensors stay what they are; keywords do as well."""
    torch.manual_seed(4)
    module = unseen.Masked()
    extras = unseen.Features(torch.zeros(4, 1), GAIN, tags=["a"])
    made = proven_by(module, {"x": X, "extras": extras})
    names = [each.name for each in made.manifest.spec.sent_inputs]
    assert names[0] == "x"
    assert "extras.gain" in names
    x, gain = torch.randn(4, 5, 6), torch.rand(4, 1)
    given = {"x": x, "extras.gain": gain, "extras.x": torch.ones(4, 1)}
    with torch.no_grad():
        expected = module.both(x, gain)
    for kind in made.manifest.programs:
        found = whole(made, kind, *(given[name] for name in names))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_example_is_left_as_it_was() -> None:
    """Objects are filled anew for each run: those of the caller keep their own tensors."""
    features = unseen.Features(X, GAIN, tags=["kept"])
    x, gain = X.clone(), GAIN.clone()
    proven(unseen.Reads(), features)
    assert features.x is X
    assert features.gain is GAIN
    assert torch.equal(X, x)
    assert torch.equal(GAIN, gain)
    assert (features.tags, features.rate, features.mask) == (["kept"], 16000, None)


HIDDEN = {
    "list of lengths": (unseen.PacksByList, [5, 3, 4, 5], "lengths"),
    "tuple of lengths": (unseen.PacksByList, (5, 3, 4, 5), "lengths"),
    "lengths to mask by": (unseen.MasksByList, [5, 3, 4, 5], "lengths"),
    "array of lengths": (unseen.MasksByList, np.array([5, 3, 4, 5]), "lengths"),
    "closure": (unseen.Applies, unseen.Vault(GAIN[..., None]), "scaling"),
    "partial": (unseen.Applies, unseen.partial_of(GAIN[..., None]), "scaling"),
    "iterator": (unseen.Consumes, iter([GAIN]), "gains"),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_what_cannot_be_looked_into_is_refused_by_name(case: str) -> None:
    """With the parameter that hides it, and the way out."""
    make, hidden, name = HIDDEN[case]
    refused = attempt(make(), (X, hidden))
    assert isinstance(refused, ExportError)
    assert f"{name!r}" in str(refused) or f"{name}." in str(refused)
    assert "Way out: " in str(refused)


def test_numbers_and_words_are_still_settings() -> None:
    """A size, a rate, a mode and None beside the tensors stay as the example has them."""

    class Settings(unseen.Reads):
        def forward(  # type: ignore[override]
            self, x: torch.Tensor, rate: int, mode: str = "plain", gain: float | None = None
        ) -> torch.Tensor:
            y: torch.Tensor = self.gru(x)[0] * (rate / 16000)
            return y if mode == "plain" and gain is None else -y

    torch.manual_seed(4)
    module = Settings()
    made = proven_by(module, (X, 8000, "plain", None))
    with torch.no_grad():
        expected = module(X, 8000)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, X), expected, atol=1e-5, rtol=1e-5)

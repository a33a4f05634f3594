"""A window is no frame: a layer that runs several steps a call hands nothing to the next call."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import tests.export.cases.windows as windows
from carousel.export.errors import ExportRefused
from tests.harness.export_run import proven, zeros
from tests.harness.export_served import alone, attempt, frames, whole


@dataclass(frozen=True, slots=True)
class Window:
    """A module, the shape of one row, and the words by which its reason is known."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: str


WINDOWS = {
    "flattened": Window(windows.Flattens, (10, 3), r"\b10 (time )?steps"),
    "flattened, time first": Window(windows.FlattensTimeFirst, (3, 10), r"\b10 (time )?steps"),
    "pictures": Window(windows.Pictures, (1, 8, 16), r"\b8 (time )?steps"),
    "position table, both ways": Window(windows.Positions, (10, 3), "bidirectional"),
    "position table, one way": Window(windows.PositionsForward, (10, 3), r"\b10 (time )?steps"),
    "recogniser": Window(windows.Ocr, (1, 8, 16), "bidirectional"),
    "denoiser": Window(windows.Denoiser, (32,), r"\b4 (time )?steps"),
    "layers over blocks": Window(windows.LayersOverBlocks, (12,), r"\b4 (time )?steps"),
    "fcn beside lstm": Window(windows.FcnBesideLstm, (3, 12), r"\b3 (time )?steps"),
    "autoencoder": Window(windows.Autoencoder, (10, 3), r"\b10 (time )?steps"),
}


def _example(window: Window, batch: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, *window.shape, generator=generator)


@pytest.mark.parametrize("case", WINDOWS)
def test_a_window_is_served_whole_and_says_why(case: str) -> None:
    """No session is offered on it; the reason names the steps of the layer, or its directions."""
    window = WINDOWS[case]
    torch.manual_seed(3)
    module = window.make()
    made = proven(module, _example(window))
    spec = made.manifest.spec
    assert (spec.streaming, spec.is_streamable) == ("none", False)
    assert re.search(window.words, spec.streaming_reason or "")
    assert spec.has_batch
    for batch in (1, 2, 5):
        x = _example(window, batch)
        for kind in made.manifest.programs:
            torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_one_row_is_a_window_too() -> None:
    """An example of a single row does not make the window a frame."""
    window = WINDOWS["flattened"]
    torch.manual_seed(3)
    module = window.make()
    made = proven(module, _example(window, 1))
    assert made.manifest.spec.streaming == "none"
    x = _example(window, 3)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_a_last_column_of_a_strided_picture_does_not_stream() -> None:
    """Its width may vary; a column alone is still no step of it."""
    torch.manual_seed(3)
    module = windows.PicturesLast()
    made = proven(module, torch.randn(4, 1, 8, 16))
    assert made.manifest.spec.streaming == "none"
    assert made.manifest.spec.streaming_reason
    x = torch.randn(3, 1, 8, 16)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", ["denoiser", "layers over blocks"])
def test_a_state_that_could_be_carried_on_is_said_with_what_to_change(case: str) -> None:
    """One direction: the module may take its state as an argument and return it."""
    window = WINDOWS[case]
    reason = proven(window.make(), _example(window)).manifest.spec.streaming_reason or ""
    assert "argument" in reason
    assert "return" in reason


def test_what_the_reason_says_to_change_works() -> None:
    """With its state in its hands a denoiser streams block by block, whatever the state."""
    torch.manual_seed(3)
    module = windows.DenoiserCarried()
    made = proven(module, torch.randn(4, 32), torch.zeros(1, 4, 6))
    spec = made.manifest.spec
    assert (spec.streaming, spec.is_framed) == ("step", True)
    assert [each.name for each in spec.states] == ["h"]
    blocks, h = torch.randn(5, 2, 32), torch.randn(1, 2, 6)
    expected, state = [], h
    with torch.no_grad():
        for block in blocks:
            y, state = module(block, state)
            expected.append(y)
    for kind in made.manifest.programs:
        answer = frames(made, kind, {"x": blocks}, {"h": h})
        torch.testing.assert_close(answer.outputs[spec.outputs[0].name], torch.stack(expected))
        torch.testing.assert_close(answer.states["h"], state)


def test_bidirectional_never_streams_though_its_state_is_carried() -> None:
    """What is handed on would be the end of one window for the start of another."""
    torch.manual_seed(3)
    module = windows.BothWaysCarried()
    made = proven(module, torch.randn(4, 10, 3), torch.zeros(2, 4, 4), torch.zeros(2, 4, 4))
    assert made.manifest.spec.streaming == "none"
    assert "bidirectional" in (made.manifest.spec.streaming_reason or "")
    x = torch.randn(2, 10, 3)
    zero = torch.zeros(2, 2, 4)
    with torch.no_grad():
        expected = module(x, zero, zero)[0]
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), expected, atol=1e-5, rtol=1e-5)


def test_a_cell_stepped_over_a_fixed_window_carries_nothing() -> None:
    """Served whole, or refused: never a state from one window to the next."""
    torch.manual_seed(3)
    module = windows.CellsOverWindow()
    made = attempt(module, (torch.randn(4, 30),))
    if isinstance(made, ExportRefused):
        assert "'cell'" in made.reason
        return
    assert not isinstance(made, Exception)
    assert made.manifest.spec.streaming == "none"
    x = torch.randn(3, 30)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_one_step_a_call_is_still_a_frame() -> None:
    """A layer that runs a single step a call streams, its hidden state carried."""
    torch.manual_seed(3)
    module = windows.OneStep()
    made = proven(module, torch.randn(4, 6))
    assert (made.manifest.spec.streaming, made.manifest.spec.is_framed) == ("step", True)
    x = torch.randn(7, 2, 6)
    with torch.no_grad():
        expected = module.fc(module.lstm(x.transpose(0, 1))[0]).transpose(0, 1)
    for kind in made.manifest.programs:
        answer = frames(made, kind, {"x": x}, zeros(made, 2))
        torch.testing.assert_close(answer.outputs["output"], expected, atol=1e-5, rtol=1e-5)

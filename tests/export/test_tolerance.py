"""How far a program may be off follows from how far float32 itself is, or from what is asked."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import tests.export.cases.rounding as rounding
from carousel import export_model
from carousel.export.errors import InvalidRequest
from carousel.models.manifest import dump_manifest, parse_manifest
from tests.harness.export_run import proven
from tests.harness.export_served import whole

X = torch.randn(4, 10, 6, generator=torch.Generator().manual_seed(1))

FAR: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "steep sine": (rounding.Sine, 6),
    "cancelled digits": (rounding.Cancels, 6),
    "steep gates": (rounding.Steep, 8),
}


@pytest.mark.parametrize("case", FAR)
def test_a_program_as_near_as_float32_is_is_kept(case: str) -> None:
    """The original in float64 says how far float32 is off; ONNX is no further than four times."""
    make, features = FAR[case]
    torch.manual_seed(5)
    module = make()
    made = proven(module, torch.randn(4, 10, features))
    manifest = made.manifest
    assert set(manifest.programs) == {"onnx", "torchscript"}
    assert all(each.tolerance <= 1e-4 for each in manifest.programs.values())
    assert (manifest.spec.streaming, manifest.spec.has_batch) == ("step", True)
    x = torch.randn(3, 100, features)
    with torch.no_grad():
        expected = module(x)
    for kind in manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), expected, atol=1e-4, rtol=0)


def test_no_program_is_off_by_more_than_one_in_ten_thousand() -> None:
    """However far float32 itself is: that program is left out and said."""
    torch.manual_seed(5)
    made = proven(rounding.Sine(3e4), X)
    assert "onnx" not in made.manifest.programs
    assert any(each.startswith("left out: onnx") for each in made.manifest.parity.skipped)


def test_more_may_be_asked_for() -> None:
    """`tolerance=` keeps it, and stands in the manifest for each program."""
    torch.manual_seed(5)
    made = proven(rounding.Sine(3e4), X, tolerance=0.05)
    assert set(made.manifest.programs) == {"onnx", "torchscript"}
    assert {each.tolerance for each in made.manifest.programs.values()} == {0.05}
    assert all(case.error <= case.bound for case in made.manifest.parity.cases)


@pytest.mark.parametrize("tolerance", [1e-3, 0.1])
def test_what_was_asked_for_is_in_the_written_artifact(tmp_path: Path, tolerance: float) -> None:
    """Also where it changes nothing: readers of the manifest see what was promised."""
    torch.manual_seed(5)
    artifact = export_model(
        rounding.Mild(), X, name="net", repository=tmp_path, quiet=True, tolerance=tolerance
    )  # fmt: skip
    again = parse_manifest(dump_manifest(artifact.manifest))
    assert {each.tolerance for each in again.programs.values()} == {tolerance}


@pytest.mark.parametrize("tolerance", [0.11, 1.0, -1e-6, float("nan"), float("inf")])
def test_a_tolerance_that_promises_nothing_is_no_tolerance(tolerance: float) -> None:
    """Between zero and a tenth; the message says so."""
    with pytest.raises(InvalidRequest, match="tolerance"):
        proven(rounding.Mild(), X, tolerance=tolerance)


def test_nothing_changes_where_float32_is_near() -> None:
    """A plain network is held to what it was held to before."""
    torch.manual_seed(5)
    made = proven(rounding.Mild(), X)
    assert all(each.tolerance <= 1e-5 for each in made.manifest.programs.values())
    assert all(each.max_error <= 1e-6 for each in made.manifest.programs.values())


def test_what_has_no_float64_run_is_served_as_before() -> None:
    """The comparison needs it not, and leaves the module in the precision that it had."""
    torch.manual_seed(5)
    module = rounding.OnlyFloat()
    made = proven(module, X)
    assert set(made.manifest.programs) == {"onnx", "torchscript"}
    assert {each.dtype for each in module.parameters()} == {torch.float32}

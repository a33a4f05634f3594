"""The witness as a real artifact: a ReLU RNN with identity weights and no bias, fed integers.

Its state is the exact running sum of its inputs and its output the sum so far, so a lost, doubled
or reordered time step shows in every output after it. Sums stay exact below `EXACT_BELOW`.
`tests/harness/fakes.py` has the same network without program and export.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from carousel.models.repository import Repository

if TYPE_CHECKING:
    from torch import nn

WITNESS_MODEL = "witness"
FEATURES = 2
# float32 holds every integer up to here.
EXACT_BELOW = 1 << 24


def make_witness() -> "nn.RNN":
    """h_t = relu(x_t + h_(t-1)), as PyTorch's own layer."""
    # torch takes more than a second to import; whoever finds the artifact made does without.
    import torch

    module = torch.nn.RNN(FEATURES, FEATURES, nonlinearity="relu", bias=False).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.eye(FEATURES))
    return module


def export_witness(root: Path) -> None:
    """Export it into a repository that lacks it, as any other model."""
    if WITNESS_MODEL in Repository(root).names():
        return
    import torch

    from carousel import export_model

    example = torch.arange(12.0).reshape(3, 2, FEATURES)  # (T, B, F)
    export_model(make_witness(), (example,), name=WITNESS_MODEL, repository=root, quiet=True)

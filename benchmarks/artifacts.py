"""The benchmark's models: built from a fixed seed, exported where they are missing, run eagerly as
the truth.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import NUM_INPUTS, SIZES, Floats, Size
from carousel.models.repository import Repository

_SEED = 0


def build_lstm(size: Size) -> torch.nn.LSTM:
    """The network that the service serves, the naive app runs and the check trusts."""
    torch.manual_seed(_SEED)
    return torch.nn.LSTM(size.input_size, size.hidden_size, size.num_layers).eval()


def eager_outputs(size: Size, inputs: Floats, num_steps: int) -> Floats:
    """What eager PyTorch gives for sessions (B, NUM_INPUTS, F) that cycle through their inputs:
    (B, T, H).
    """
    torch.set_num_threads(1)
    order = np.arange(num_steps) % NUM_INPUTS
    sequence = torch.from_numpy(inputs[:, order]).transpose(0, 1)  # (T, B, F)
    with torch.inference_mode():
        outputs, _ = build_lstm(size)(sequence)
    result: Floats = outputs.transpose(0, 1).numpy()  # (B, T, H)
    return result


def main(root: Path, sizes: Sequence[Size] = SIZES) -> None:
    """Export the models of these sizes that `root` lacks."""
    from carousel import export_model

    present = Repository(root).names()
    for size in sizes:
        if size.model not in present:
            example = (torch.zeros(5, 3, size.input_size).normal_(),)
            export_model(build_lstm(size), example, name=size.model, repository=root)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

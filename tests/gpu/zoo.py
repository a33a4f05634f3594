"""The reference models on a repository, each exported at its first use, beside the modules."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from carousel import export_model
from carousel.models.artifact import Artifact
from carousel.models.repository import Repository
from carousel.models.row import Array
from carousel.models.zoo.catalog import REFERENCES

# Not here: the two halves of the attention decoder, which are run one into the other.
FEATURES = {
    "lstm-10-20-2": 10,
    "bilstm-10-20-2": 10,
    "rnn-1027-256": 1027,
    "rnn-5-6-2": 5,
    "lstm-5-6-2": 5,
    "gru-10-20-2": 10,
    "lstm-proj": 10,
    "simple-lstm": 10,
    "hello-rnncell": 4,
    "hello-rnn": 4,
}
LAST_ALONE = "simple-lstm"


class Zoo:
    """The untouched modules by name, and their artifacts."""

    def __init__(self, folder: Path) -> None:
        self._repository = Repository(folder)
        self._folder = folder
        self._modules: dict[str, nn.Module] = {}

    def artifact(self, name: str) -> Artifact:
        """The model's artifact."""
        each = REFERENCES[name]
        if name not in self._modules:
            self._modules[name] = each.build(lambda line: None)
            export_model(
                self._modules[name],
                each.example(),
                name=name,
                repository=self._folder,
                axes=each.axes,
                output_names=each.output_names,
                quiet=True,
            )
        return self._repository.open(name)

    def whole(self, name: str, x: Array) -> Array:
        """What the module makes of a sequence (T, F) alone: (T, O), or its one answer."""
        batch_axis = 0 if name == LAST_ALONE else 1
        given = torch.from_numpy(np.asarray(x, np.float32)).unsqueeze(batch_axis)
        with torch.inference_mode():
            answer = self._modules[name](given)
        output = answer[0] if isinstance(answer, tuple) else answer
        found: Array = output.squeeze(batch_axis).numpy()
        return found

    def attention(self, *values: torch.Tensor) -> tuple[Array, ...]:
        """What the attention module makes of Q, K and V."""
        with torch.inference_mode():
            return tuple(each.numpy() for each in self._modules["attention"](*values))

"""`state_id`: what a saved state fits."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict

import torch
from torch import nn

from carousel.models.spec import ModelSpec

_UNSAID = [("context_of", None)]


def state_id(module: nn.Module, spec: ModelSpec, changing: Collection[str] = ()) -> str:
    """SHA-256 over the weights of a module and the states' spec.

    Buffers in `changing` are no weights: forward writes them.
    """
    digest = hashlib.sha256()
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name in sorted(set(weights) - set(changing)):
        array = weights[name].detach().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    # What says nothing is left out, so that a field that is new leaves the ids of old states alone.
    states = [
        {name: value for name, value in asdict(each).items() if (name, value) not in _UNSAID}
        for each in spec.states
    ]
    digest.update(json.dumps(states, sort_keys=True).encode())
    return digest.hexdigest()

"""Modules that cannot be watched or would be changed by a run, told apart before any run."""

import torch
from torch import nn

from carousel.export.errors import ExportRefused

_RECURRENT = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")


def refuse_foreign(module: nn.Module) -> None:
    """Raise ExportRefused for TorchScript, other devices, and layers that hide what they do."""
    if isinstance(module, torch.jit.ScriptModule):
        raise ExportRefused(
            "the module is TorchScript already, and what is inside it cannot be watched",
            "give the nn.Module that it was made from",
        )
    for name, weight in (*module.named_parameters(), *module.named_buffers()):
        if weight.device.type != "cpu":
            raise ExportRefused(
                f"{name} is on {weight.device}, and exports are made on the CPU",
                "load the weights first: a module on meta has none"
                if weight.device.type == "meta"
                else "call export_model(module.cpu(), ...) with the example on the CPU",
            )
    for path, layer in module.named_modules():
        _refuse_layer(path, layer)


def _refuse_layer(path: str, layer: nn.Module) -> None:
    scripted = isinstance(layer, torch.jit.ScriptModule)
    # Asked of scripts alone: what else answers to a name is the user's own.
    kind = layer.original_name if scripted else type(layer).__name__
    quantized = ".quantized." in type(layer).__module__
    if kind in _RECURRENT and (scripted or quantized):
        raise ExportRefused(
            f"the layer {path!r} is {'TorchScript' if scripted else 'quantized'}, and its state "
            "cannot be watched",
            "export the module with the float nn layer that it was made from",
        )
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.max_norm is not None:
        raise ExportRefused(
            f"the embedding {path!r} has max_norm, so that forward rewrites its own weights",
            "renormalise them once (embedding(torch.arange(num_embeddings)) under torch.no_grad()) "
            "and set embedding.max_norm = None",
        )

"""Modules that cannot be watched or would be changed by a run, told apart before any run."""

import torch
from torch import nn

from carousel.export.errors import ExportRefused

_RECURRENT = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")


_WAY_OUT = "give the nn.Module that it was made from, or let it take its state and return it"


def unseen(module: nn.Module) -> ExportRefused | None:
    """The refusal of TorchScript, inside of which states cannot be watched, unless it takes and
    returns them; None where nothing is hidden so.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return ExportRefused(
            "the module is TorchScript already, and what is inside it cannot be watched", _WAY_OUT
        )
    for path, layer in module.named_modules():
        if isinstance(layer, torch.jit.ScriptModule) and layer.original_name in _RECURRENT:
            return ExportRefused(
                f"the layer {path!r} is TorchScript, and its state cannot be watched", _WAY_OUT
            )
    return None


def refuse_foreign(module: nn.Module) -> None:
    """Raise ExportRefused for other devices, and layers that hide or change what they do."""
    if isinstance(module, torch.jit.ScriptModule) and not hasattr(module, "training"):
        raise ExportRefused(
            "the module is frozen TorchScript, whose weights are constants",
            "give it as it was before torch.jit.freeze",
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
    if type(layer).__name__ in _RECURRENT and ".quantized." in type(layer).__module__:
        raise ExportRefused(
            f"the layer {path!r} is quantized, and its state cannot be watched",
            "export the module with the float nn layer that it was made from",
        )
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.max_norm is not None:
        raise ExportRefused(
            f"the embedding {path!r} has max_norm, so that forward rewrites its own weights",
            "renormalise them once (embedding(torch.arange(num_embeddings)) under torch.no_grad()) "
            "and set embedding.max_norm = None",
        )

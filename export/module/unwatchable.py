"""Modules that cannot be watched or would be changed by a run, told apart before any run."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from carousel.export.errors import ExportRefused

_RECURRENT = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")


_WRITING = ("_set_item", "append", "extend", "insert", "pop", "clear", "Delete", "update")
WAY_OUT = "give the nn.Module that it was made from, or let it take its state and return it"


def unseen(module: nn.Module) -> ExportRefused | None:
    """The refusal of TorchScript, inside of which states cannot be watched, unless it takes and
    returns them; None where nothing is hidden so.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return ExportRefused(
            "the module is TorchScript already, and what is inside it cannot be watched", WAY_OUT
        )
    for path, layer in module.named_modules():
        if isinstance(layer, torch.jit.ScriptModule) and layer.original_name in _RECURRENT:
            return ExportRefused(
                f"the layer {path!r} is TorchScript, and its state cannot be watched", WAY_OUT
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
        if isinstance(layer, torch.jit.ScriptModule):
            _refuse_changing(path, layer)
        _refuse_layer(path, layer)


def _refuse_changing(path: str, script: torch.jit.ScriptModule) -> None:
    """Raise ExportRefused for a script that writes into what it keeps: it can be neither watched
    nor put back.
    """
    graph: Any = getattr(getattr(script, "forward", None), "inlined_graph", None)
    for node in () if graph is None else nodes(graph):
        sets = node.kind() == "prim::SetAttr"
        if sets or (_writes(node) and _is_kept(node)):
            where = f"the layer {path!r}" if path else "the module"
            raise ExportRefused(
                f"{where} is TorchScript that changes {node.s('name') if sets else 'an attribute'} "
                "in forward, which cannot be put back",
                "give the nn.Module that it was made from",
            )


def nodes(block: Any) -> Iterator[Any]:
    """The nodes of a graph, those inside of others among them."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


def _writes(node: Any) -> bool:
    kind = node.kind().removeprefix("aten::")
    return kind in _WRITING or (kind.endswith("_") and not kind.endswith("__"))


def _is_kept(node: Any) -> bool:
    """Whether what a call writes into is, or is part of, something that the module keeps."""
    value = next(iter(node.inputs()), None)
    while value is not None and value.node().kind().startswith("aten::"):
        value = next(iter(value.node().inputs()), None)
    return value is not None and value.node().kind() == "prim::GetAttr"


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

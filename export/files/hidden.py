"""State that a TorchScript module keeps in its attributes, and submodules that take it instead."""

from collections.abc import Iterator

import torch

from carousel.export.errors import ExportRefused
from carousel.export.files.signature import forward_of
from carousel.export.reading.names import is_state


def kept_attributes(module: torch.nn.Module) -> list[str]:
    """Attributes that forward both reads and writes."""
    graph = forward_of(module).inlined_graph
    written = {each.s("name") for each in graph.findAllNodes("prim::SetAttr")}
    read = {each.s("name") for each in graph.findAllNodes("prim::GetAttr")}
    return sorted(written & read)


def hidden_state(module: torch.jit.ScriptModule, attributes: list[str]) -> ExportRefused:
    """The refusal of a module that keeps its state in `attributes`."""
    paths = list(_explicit(module))
    way_out = (
        "give the submodule that takes its state: " + " or ".join(f"--submodule {p}" for p in paths)
        if paths
        else "script a module whose forward takes the state and returns its new value"
    )
    buffers = {name for name, _ in module.named_buffers()}
    noun = "buffers" if buffers.issuperset(attributes) else "attributes"
    return ExportRefused(
        f"forward keeps its state in the {noun} {', '.join(attributes)}, where two callers "
        "would share it",
        way_out,
    )


def find_submodule(module: torch.jit.ScriptModule, path: str) -> torch.jit.ScriptModule:
    """The submodule at `path`; raises ExportRefused where there is none that can be called."""
    found = dict(module.named_modules()).get(path)
    if (
        found is None
        or not hasattr(found, "forward")
        or not isinstance(found, torch.jit.ScriptModule)
    ):
        known = list(_explicit(module)) or [
            name for name, _ in module.named_children() if hasattr(_, "forward")
        ]
        raise ExportRefused(
            f"the file has no submodule {path!r} with a forward",
            f"name one of {', '.join(known)}" if known else "leave out --submodule",
        )
    return found


def _explicit(module: torch.jit.ScriptModule) -> Iterator[str]:
    """The outermost submodules that take a state and return more than one tensor."""
    found: list[str] = []
    for path, each in module.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if path and not inside and hasattr(each, "forward") and _takes_state(each):
            found.append(path)
            yield path


def _takes_state(module: torch.nn.Module) -> bool:
    schema = forward_of(module).schema
    named = any(is_state(each.name) for each in schema.arguments[1:])
    (returned,) = schema.returns
    return named and returned.type.kind() == "TupleType" and not kept_attributes(module)

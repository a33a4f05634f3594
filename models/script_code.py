"""What a TorchScript program may do: torch's own operators, less those that reach outside of it.

TorchScript is code of whoever wrote the file. Operators of `aten` and `prim` compute; some of them
read and write files, print, run Python or ask other machines, and those of other libraries do what
they do. The graphs of all functions in the file are walked, as torch understands them, before any
of them has run. torch itself runs one while it loads a file, `__setstate__` of a class; so a file
with one is refused before that, by its source.

Here is no torch: it is handed in. And this is no wall around native code: a program that may
compute can ask for all memory, and never end.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

_NAMESPACES = ("aten", "prim")
_REACHING: Mapping[str, str] = {
    "aten::from_file": "reads and writes files",
    "aten::save": "writes files",
    "aten::_print": "prints",
    "prim::Print": "prints",
    "prim::PythonOp": "runs Python",
    "prim::IgnoredPythonOp": "runs Python",
    "prim::rpc_async": "asks other machines",
    "prim::rpc_remote": "asks other machines",
    "prim::rpc_sync": "asks other machines",
}
# Classes of libraries, which are native code behind methods of any name.
_NATIVE_CLASSES = "__torch__.torch.classes."
_RUN_AT_LOAD = b"__setstate__"
_OLD_FORM = "model.json"
# What an archive may hold beyond its own size. Weights are stored as they are, source is packed.
_UNPACKED_BYTES = 64 << 20


class ScriptRefused(Exception):
    """A program that may not be loaded or run. The message goes on behind the file's name."""


def load_script(torch: Any, data: bytes, device: str) -> Any:
    """The TorchScript module in `data`, on `device`; nothing in it has run.

    `torch` is the library. Raises ScriptRefused for what may not run, and what torch raises for
    what it cannot read.
    """
    _check_archive(torch._C.PyTorchFileReader(io.BytesIO(data)), len(data))
    # As torch.jit.load does it, which keeps the functions to itself.
    unit = torch._C.CompilationUnit()
    place = torch.device(device)
    module = torch._C.import_ir_module_from_buffer(unit, data, place, {}, False)
    _check_functions(unit)
    return torch.jit._recursive.wrap_cpp_module(module)


def _check_archive(reader: Any, num_bytes: int) -> None:
    """Refuse a file that would run code, or fill the memory, while it is loaded.

    All of it is looked at: torch finds its source by names whose case does not matter to it. It is
    torch's own reader of zip files, as another could be shown other contents.
    """
    names = reader.get_all_records()
    if sum(reader.get_record_size(name) for name in names) > num_bytes + _UNPACKED_BYTES:
        raise ScriptRefused("it holds far more than its size: it is packed, as torch never does")
    for name in names:
        if name.lower() == _OLD_FORM:
            raise ScriptRefused("it is of a form that torch gave up in 2019: save it again")
        if _RUN_AT_LOAD in reader.get_record(name):
            raise ScriptRefused("a class of it has a __setstate__, which runs while it is loaded")


def _check_functions(unit: Any) -> None:
    """Refuse a file of which any function may reach outside, whether forward calls it or not."""
    checked: set[str] = set()
    # A look at a graph may have torch read the source of others.
    while found := [f for f in unit.get_functions() if f.qualified_name not in checked]:
        for function in found:
            checked.add(function.qualified_name)
            for node in _nodes(function.graph):
                _check_node(node)


def _check_node(node: Any) -> None:
    kind = node.kind()
    namespace = kind.partition("::")[0]
    if kind in _REACHING:
        raise ScriptRefused(f"it calls {kind}, which {_REACHING[kind]}")
    if namespace not in _NAMESPACES:
        raise ScriptRefused(f"it calls {kind}; only operators of aten and prim are run")
    for value in (*node.inputs(), *node.outputs()):
        if _NATIVE_CLASSES in str(value.type()):
            raise ScriptRefused(f"it uses the class {value.type()}; only tensors are computed with")


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node of a graph, of the blocks of nodes, and of the graphs that nodes carry."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().nodes():
            yield node
            waiting += node.blocks()
            for name in node.attributeNames():
                kind = node.kindOf(name)
                if kind == "g":
                    waiting.append(node.g(name))
                elif kind == "gs":
                    waiting += node.gs(name)

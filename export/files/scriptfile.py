"""A foreign TorchScript file; what is served is the part that is called, tensors in and out."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from carousel.export.artifact.identity import state_id
from carousel.export.errors import ExportRefused, InvalidRequest, first_line
from carousel.export.files.attributes import Attributes, vocabulary
from carousel.export.files.hidden import find_submodule, hidden_state, kept_attributes
from carousel.export.files.program import Port, check_ports, constants
from carousel.export.files.signature import Parameter, defaults, parameters, results
from carousel.export.options import Options
from carousel.export.programs.faults import RunFailed
from carousel.export.programs.runtime import Tensors
from carousel.export.reading.names import is_state, may_be_state
from carousel.models.manifest import ProgramKind
from carousel.models.script_code import ScriptRefused, load_script
from carousel.models.spec import ModelSpec


def _adapted(module: torch.jit.ScriptModule, code: str) -> Any:
    """Calls the module inside as it wants to be called, with tensors only from outside."""

    # A class each time: torch gives modules of one class and shape the code of the first.
    class Adapter(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            self.define(code)

    return Adapter().eval()


class ScriptProgram:
    """A TorchScript module or one of its submodules, every shape stated by the caller."""

    kind: ProgramKind = "torchscript"
    lengths: str | None
    both_ways: set[str]
    counting: dict[str, int | None]
    wired: Mapping[str, str]
    sized: Mapping[str, Sequence[int]]

    def __init__(self, data: bytes, options: Options) -> None:
        """Raises ExportRefused for a file that cannot be served, InvalidRequest for bad options."""
        self.num_bytes = len(data)
        self._data, self._submodule = data, options.submodule
        module = _load(data)
        if options.submodule is not None:
            module = find_submodule(module, options.submodule)
        if not hasattr(module, "forward"):
            raise ExportRefused("the module has no forward", "script it with one, or --submodule")
        self._module = module.eval()
        self._kept = kept_attributes(module)
        self._attributes = Attributes(self._module)
        if self._kept and not options.shapes:
            raise hidden_state(module, self._kept)
        self._parameters = parameters(module, options.shapes, options.constants)
        self._results = results(module)
        self.outputs = tuple(self._results)
        self.inputs = tuple(self._ports(options))
        options.check_names([each.name for each in self.inputs], self.outputs)
        check_ports(self.inputs, options)
        self._runs = self._adapted([each.name for each in self.inputs], self.outputs)
        self.notes = tuple(self._left_out())
        self.tools: Mapping[str, str] = {}
        # Of the layers inside nothing is known.
        self.lengths, self.both_ways, self.counting = None, set(), {}
        self.may_end, self.wired, self.sized = False, {}, {}

    def __repr__(self) -> str:
        return f"<ScriptProgram {[each.name for each in self.inputs]} -> {list(self.outputs)}>"

    def run(self, values: Tensors) -> Tensors:
        """One run; raises RunFailed."""
        # Copies: a program that writes into its input must not spoil the expected values.
        given = [values[each.name].clone() for each in self.inputs]
        try:
            with torch.no_grad():
                found = self._runs(*given)
        except Exception as error:  # a runtime's own error: whatever it says to these values
            raise RunFailed(error) from error
        return dict(zip(self.outputs, (each.clone() for each in found), strict=True))

    def exact(self, values: Tensors) -> Tensors | None:
        """One run in float64; None where the module has float32 in its code."""
        given = [values[each.name] for each in self.inputs]
        try:
            with torch.no_grad():
                found = self._doubled(
                    *(each.double() if each.is_floating_point() else each for each in given)
                )
        except Exception:  # whatever torch says to numbers of two kinds
            return None
        return dict(zip(self.outputs, found, strict=True))

    @cached_property
    def _doubled(self) -> Any:
        """The same module in float64."""
        module = _load(self._data)
        if self._submodule is not None:
            module = find_submodule(module, self._submodule)
        names = [each.name for each in self.inputs]
        return self._adapted(names, self.outputs, module.eval().double())

    def keeps_state(self) -> ExportRefused | None:
        """The refusal of a module whose runs depend on those before, if it is known to keep any."""
        kept = self._attributes.changed() or self._kept
        return hidden_state(self._module, kept) if kept else None

    def vocabulary(self, name: str) -> int | None:
        """The rows of the table that an input looks up."""
        return vocabulary(self._module, name)

    def identity(self, spec: ModelSpec) -> str:
        """A hash of the weights, of what else forward reads and of the states' spec; raises
        ExportRefused where runs wrote to any of it.
        """
        self._check_unchanged()
        told = f"{state_id(self._module, spec)}\n{self._attributes.digest()}{constants(spec)}"
        return hashlib.sha256(told.encode()).hexdigest()

    def served(self, spec: ModelSpec) -> bytes:
        """The module behind a forward that takes and returns what `spec` says, in its order; raises
        ExportRefused where it is no longer the one that was loaded.
        """
        self._check_unchanged()
        given = [each.name for each in (*spec.inputs, *spec.program_states)]
        states = [each.output for each in spec.states if each.output is not None]
        adapter = self._adapted(given, [*(each.name for each in spec.outputs), *states])
        buffer = io.BytesIO()
        try:
            torch.jit.save(adapter, buffer)
        except Exception as error:  # what torch reads of a damaged file only now
            raise ExportRefused(
                f"torch does not save the module: {first_line(error)}",
                "script the module and save it again",
            ) from error
        return buffer.getvalue()

    def _check_unchanged(self) -> None:
        changed = self._attributes.changed()
        if changed:
            raise hidden_state(self._module, changed)

    def _adapted(self, given: Sequence[str], wanted: Sequence[str], module: Any = None) -> Any:
        places = {name: f"a{index}" for index, name in enumerate(given)}
        arguments = ", ".join(f"{place}: Tensor" for place in places.values())
        call = ", ".join(f"{each.name}={each.code(places)}" for each in self._parameters)
        found = ", ".join(self._results[name] for name in wanted)
        code = (
            f"def forward(self, {arguments}):\n"
            f"    r = self.inner.forward({call})\n"
            f"    return ({found},)\n"
        )
        return _adapted(module or self._module, code)

    def _ports(self, options: Options) -> list[Port]:
        missing = [
            name
            for each in self._parameters
            for name, dtype in each.leaves
            if name not in options.shapes and (dtype is None or name not in options.constants)
        ]
        missing += [
            name
            for name, is_tensor in self._defaulted().items()
            if is_state(name) or (is_tensor and may_be_state(name))
        ]
        if missing:
            raise InvalidRequest(
                "TorchScript says nothing of shapes: give --input NAME:DTYPE:AXES (or --constant "
                f"NAME=VALUE) for {', '.join(missing)}"
            )
        return [
            self._port(name, each, options) for each in self._parameters for name, _ in each.leaves
        ]

    def _port(self, name: str, parameter: Parameter, options: Options) -> Port:
        number = dict(parameter.leaves)[name]
        if number is not None:
            return Port(name, number, ())
        stated = options.shapes[name]
        assert stated.dtype is not None, "the command and import_model ask for it"
        return Port(name, stated.dtype, stated.axes, stated.fold)

    def _defaulted(self) -> dict[str, bool]:
        given = {each.name for each in self._parameters}
        return {name: each for name, each in defaults(self._module).items() if name not in given}

    def _left_out(self) -> list[str]:
        return [f"the input {name} is left at its default" for name in self._defaulted()]


def _load(data: bytes) -> torch.jit.ScriptModule:
    try:
        module: torch.jit.ScriptModule = load_script(torch, data, "cpu")
    except ScriptRefused as error:
        raise ExportRefused(
            f"the file may not be loaded: {error}",
            "script the module without it, on torch's own operators, and save it again",
        ) from error
    except Exception as error:  # torch raises all kinds of errors on a damaged file
        text = " ".join(str(error).split())
        if "Unknown type name" in text or "Unknown builtin op" in text or "torch.classes" in text:
            raise ExportRefused(
                f"the file needs code that is not in it: {text[:160]}",
                "script the module without classes and operators of other libraries",
            ) from error
        raise ExportRefused(
            f"torch refuses the file: {first_line(error)}", "script the module and save it again"
        ) from error
    return module

"""A foreign ONNX file, run by ONNX Runtime on one thread."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import get_args

import onnxruntime as ort

from carousel.export.errors import ExportRefused, first_line
from carousel.export.files.defaults import check_defaults
from carousel.export.files.graphs import custom_operators, digest, parse, vocabulary
from carousel.export.files.program import OPEN, Port, check_ranges, constants
from carousel.export.options import Options
from carousel.export.programs.faults import RunFailed
from carousel.export.programs.runtime import Tensors, open_session, run_session
from carousel.models.manifest import ProgramKind
from carousel.models.spec import Dtype, ModelSpec

_DTYPES: Mapping[str, Dtype] = {
    f"tensor({name})": dtype
    for dtype in get_args(Dtype)
    for name in ({"float32": "float", "float64": "double"}.get(dtype, dtype),)
}


class OnnxProgram:
    """An ONNX file as it is: what is served is its bytes."""

    kind: ProgramKind = "onnx"

    def __init__(self, data: bytes, options: Options) -> None:
        """Raises ExportRefused for a file that cannot be served, InvalidRequest for bad options."""
        self._data = data
        self.num_bytes = len(data)
        self._model = parse(data)
        self._session = self._load()
        given, found = self._session.get_inputs(), self._session.get_outputs()
        known = [each.name for each in found if each.type in _DTYPES]
        inside = [each.name for each in self._session.get_overridable_initializers()]
        check_defaults(inside, known, options)
        options.check_names([each.name for each in given], known)
        self.notes = tuple(
            f"the output {each.name} is {each.type}, which is not served"
            for each in found
            if each.type not in _DTYPES
        )
        self.outputs = tuple(known)
        self.inputs = tuple(self._port(each, options) for each in given)
        check_ranges(self.inputs, options)
        producer = f"{self._model.producer_name} {self._model.producer_version}".strip()
        self.tools: Mapping[str, str] = {"producer": producer} if producer else {}

    def __repr__(self) -> str:
        return f"<OnnxProgram {[each.name for each in self.inputs]} -> {list(self.outputs)}>"

    def run(self, values: Tensors) -> Tensors:
        """One run of the file; raises RunFailed."""
        given = [each.name for each in self.inputs]
        try:
            return run_session(self._session, given, self.outputs, values)
        except Exception as error:  # a runtime's own error: whatever it says to these values
            raise RunFailed(error) from error

    def keeps_state(self) -> None:
        """An ONNX file has nowhere to keep it."""

    def vocabulary(self, name: str) -> int | None:
        """The rows of the table that an input looks up."""
        return vocabulary(self._model, name)

    def identity(self, spec: ModelSpec) -> str:
        """A hash of every number in the file, of the constants and of the states' spec."""
        states = json.dumps([asdict(each) for each in spec.states], sort_keys=True)
        told = f"{digest(self._model)}\n{states}{constants(spec)}"
        return hashlib.sha256(told.encode()).hexdigest()

    def served(self, spec: ModelSpec) -> bytes:
        """The file: a server finds inputs, outputs and states in it by their names."""
        return self._data

    def _load(self) -> ort.InferenceSession:
        try:
            return open_session(self._data)
        except Exception as error:  # a runtime's own error: whatever is wrong with the file
            custom = custom_operators(self._model)
            if custom:
                raise ExportRefused(
                    f"the file needs operators that ONNX Runtime has not: {', '.join(custom)}",
                    "export it with ONNX's own operators",
                ) from error
            raise ExportRefused(
                f"ONNX Runtime refuses the file: {first_line(error)}",
                "mend the file, or export it again",
            ) from error

    def _port(self, given: ort.NodeArg, options: Options) -> Port:
        dtype = _DTYPES.get(given.type)
        if dtype is None:
            raise ExportRefused(
                f"the input {given.name} is {given.type}, which is not served",
                f"export it with one of {', '.join(_DTYPES)}",
            )
        axes = tuple(
            size
            if isinstance(size, int) and size > 0
            else f"{OPEN}{size or f'{given.name}.{axis}'}"
            for axis, size in enumerate(given.shape)
        )
        port = Port(given.name, dtype, axes)
        stated = options.shapes.get(given.name)
        return port if stated is None else port.stated(stated)

"""A foreign ONNX file, run by ONNX Runtime on one thread."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import get_args

import onnxruntime as ort

from carousel.export import flags
from carousel.export.errors import ExportRefused
from carousel.export.files.graphs import (
    RECURRENT,
    both_ways,
    counting,
    custom_operators,
    digest,
    parse,
    unranked,
    vocabulary,
    wired,
)
from carousel.export.files.program import OPEN, Port, check_defaults, check_ports, constants
from carousel.export.files.steps import FATAL, guarded, no_step
from carousel.export.options import Options
from carousel.export.programs.faults import RunFailed, fault
from carousel.export.programs.runtime import Tensors, open_session, run_session
from carousel.models.manifest import ProgramKind
from carousel.models.spec import BATCH, TIME, Dtype, ModelSpec

_DTYPES: Mapping[str, Dtype] = {
    f"tensor({name})": dtype
    for dtype in get_args(Dtype)
    for name in ({"float32": "float", "float64": "double"}.get(dtype, dtype),)
}
# What ONNX Runtime says in words that are no help, the reason in ours, and the way out.
_KNOWN = (
    (
        "layout_ == 0",
        "a recurrent layer of the file has layout=1, the batch in front of time, which ONNX "
        "Runtime does not run",
        "export it with layout=0, and transpose what goes in and comes out",
    ),
    (
        "released onnx opset versions",
        "the file's opset is newer than those that this ONNX Runtime takes for finished",
        "export it with an older opset, or set ALLOW_RELEASED_ONNX_OPSET_ONLY=0 for the import "
        "and for the service, which then run what there is of it",
    ),
)


class OnnxProgram:
    """An ONNX file: what is served is its bytes, with guards where it could end the process."""

    kind: ProgramKind = "onnx"

    def __init__(self, data: bytes, options: Options) -> None:
        """Raises ExportRefused for a file that cannot be served, InvalidRequest for bad options."""
        self._data = data
        self.num_bytes = len(data)
        self._model = parse(data)
        self._session = self._load()
        # Its nodes that could end the process behind guards; what answers of itself is left alone.
        self._fatal = guarded(self._model, FATAL)
        self.may_end = self._fatal is not None
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
        self._unranked = unranked(self._model)
        self.sized: Mapping[str, Sequence[int]] = {}
        self.inputs = tuple(self._port(each, options) for each in given)
        self._check_ranks(options)
        check_ports(self.inputs, options)
        self.lengths: str | None = None
        self.both_ways = both_ways(self._model)
        self.wired: Mapping[str, str] = wired(self._model)
        self.counting = dict(self._counting(options))
        producer = f"{self._model.producer_name} {self._model.producer_version}".strip()
        self.tools: Mapping[str, str] = {"producer": producer} if producer else {}

    def __repr__(self) -> str:
        return f"<OnnxProgram {[each.name for each in self.inputs]} -> {list(self.outputs)}>"

    def run(self, values: Tensors) -> Tensors:
        """One run of the file; raises RunFailed."""
        given = [each.name for each in self.inputs]
        wide = [e.name for e in self.inputs if e.name == self.lengths and e.dtype == "int64"]
        values = values | {name: values[name].long() for name in wide}
        try:
            return run_session(self._session, given, self.outputs, values)
        except Exception as error:  # a runtime's own error: whatever it says to these values
            raise no_step(error) or RunFailed(error) from error

    def exact(self, values: Tensors) -> None:
        """Its weights are in float32."""

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
        """The file, in which a server finds inputs, outputs and states by their names."""
        return self._fatal or self._data

    def _counting(self, options: Options) -> Iterator[tuple[str, int | None]]:
        """Inputs that count the time steps of rows and that clients send; `lengths` is one that a
        server fills in, as it can where steps are open and nobody says otherwise.
        """
        ports = {each.name: each for each in self.inputs}
        for name, source in counting(self._model).items():
            if name not in ports or source not in ports or name in options.constants:
                continue
            rows, steps = {BATCH, *ports[name].axes}, ports[source].axes
            varies = any(isinstance(axis, str) and axis not in rows for axis in steps)
            said = name in options.sent or name in options.ranges or self.lengths is not None
            if varies and not said and not any(isinstance(axis, int) and axis > 1 for axis in rows):
                self.lengths = name
            else:
                yield name, None if varies or not isinstance(steps[0], int) else steps[0]

    def _load(self) -> ort.InferenceSession:
        try:
            return open_session(guarded(self._model, RECURRENT) or self._data)
        except Exception as error:  # a runtime's own error: whatever is wrong with the file
            custom = custom_operators(self._model)
            if custom:
                raise ExportRefused(
                    f"the file needs operators that ONNX Runtime has not: {', '.join(custom)}",
                    "export it with ONNX's own operators",
                ) from error
            for words, reason, way_out in _KNOWN:
                if words in str(error):
                    raise ExportRefused(reason, way_out) from error
            raise ExportRefused(
                f"ONNX Runtime refuses the file: {fault(error).rstrip('.')}",
                "mend the file, or export it again",
            ) from error

    def _port(self, given: ort.NodeArg, options: Options) -> Port:
        dtype = _DTYPES.get(given.type)
        if dtype is None:
            raise ExportRefused(
                f"the input {given.name} is {given.type}, which is not served",
                f"export it with one of {', '.join(_DTYPES.values())}",
            )
        axes = tuple(
            size
            if isinstance(size, int) and size >= 0
            else f"{OPEN}{size if isinstance(size, str) else f'{given.name}.{axis}'}"
            for axis, size in enumerate(given.shape)
        )
        stated = options.shapes.get(given.name)
        if stated is None:
            return Port(given.name, dtype, axes)
        own = stated.axes if given.name in self._unranked else axes
        pairs = zip(own, stated.axes, strict=False)  # whose lengths are compared below
        sized = [
            place for place, (axis, said) in enumerate(pairs) if said not in (axis, BATCH, TIME)
        ]
        self.sized = {**self.sized, given.name: sized} if sized else self.sized
        return Port(given.name, dtype, own).stated(stated)

    def _check_ranks(self, options: Options) -> None:
        """Raise ExportRefused for inputs whose axes neither the file nor the caller counts."""
        unknown = self._unranked - set(options.shapes)
        told = [flags.axes(e.name, e.dtype, "AXES") for e in self.inputs if e.name in unknown]
        if told:
            raise ExportRefused(
                f"the file does not say how many axes {', '.join(sorted(unknown))} has",
                f"say what they are: {' '.join(told)}",
            )

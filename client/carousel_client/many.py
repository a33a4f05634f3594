"""A step of many sessions, as a plan: in as few requests as may be, and each row once."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import numpy as np
import numpy.typing as npt

from carousel_client.codec import SAFETENSORS, Codec, Outputs
from carousel_client.columns import Columns, Int64s
from carousel_client.document import expecting
from carousel_client.endpoint import Endpoint
from carousel_client.errors import BadAnswer, CarouselError
from carousel_client.model import Array, TensorInfo
from carousel_client.plan import Plan, Wait, ask
from carousel_client.problem import make_error
from carousel_client.tensorfile import read_metadata, read_tensors, write_tensors

_OK = 200


@dataclass(frozen=True, slots=True)
class SteppedMany:
    """What became of each row. `outputs`: an array, or arrays by name, as the inputs were given:
    without time, with it, or packed; zeros in rows at fault.

    `positions`: where each session stands, -1 where there is none, or nobody knows. `replayed`: the
    row was done before, and is answered again. `opened`: its session was started. `status`: 200, or
    the error's; 0 where no answer came. `errors`: by row, of those at fault.
    """

    outputs: Outputs
    positions: Int64s
    replayed: npt.NDArray[np.bool_]
    opened: npt.NDArray[np.bool_]
    status: npt.NDArray[np.int16]
    errors: Mapping[int, CarouselError]

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        """The rows that were done."""
        found: npt.NDArray[np.bool_] = self.status == _OK
        return found


@dataclass(frozen=True, slots=True)
class Head:
    """What holds for all rows."""

    model: str
    version: int | None
    open: bool
    ttl_s: float | None

    def metadata(self, session_ids: list[str]) -> dict[str, str]:
        """How safetensors say it."""
        found = {"model": self.model, "session_ids": json.dumps(session_ids)}
        if self.version is not None:
            found["version"] = str(self.version)
        if self.open:
            found["open"] = "true"
        if self.ttl_s is not None:
            found["ttl_s"] = json.dumps(self.ttl_s)
        return found


class StepMany:
    """One call."""

    def __init__(self, endpoint: Endpoint, codec: Codec, head: Head, columns: Columns) -> None:
        rows = columns.num_rows
        self._endpoint = endpoint
        self._head = head
        self._columns = columns
        self._infos = codec.model.outputs
        self._max_steps = codec.model.max_steps
        self._outputs: dict[str, Array] = {}
        self._positions = np.full(rows, -1, np.int64)
        self._replayed = np.zeros(rows, np.bool_)
        self._opened = np.zeros(rows, np.bool_)
        self._status = np.zeros(rows, np.int16)
        self._errors: dict[int, CarouselError] = {}

    def __repr__(self) -> str:
        return f"<StepMany {self._head.model} rows={self._columns.num_rows}>"

    def run(self) -> Plan[SteppedMany]:
        """Step all rows. Raises what a request as a whole is refused for, while nothing was done;
        after that it is the error of its rows, and of those that were to come.
        """
        parts = list(self._columns.parts(self._max_steps))
        for number, rows in enumerate(parts):
            try:
                yield from self._step(rows)
            except CarouselError as error:
                if number == 0:
                    raise
                self._give_up(np.concatenate(parts[number:]), error)
                break
        outputs = {each.name: self._output(each) for each in self._infos}
        return SteppedMany(
            next(iter(outputs.values())) if len(outputs) == 1 else outputs,
            self._positions,
            self._replayed,
            self._opened,
            self._status,
            dict(sorted(self._errors.items())),
        )

    def _step(self, rows: Int64s) -> Plan[None]:
        """One request, and again what of it may do better then."""
        attempts = self._endpoint.retry.begin(time.monotonic())
        while True:
            safe = all(map(self._columns.may_repeat, rows.tolist()))
            response = yield from ask(self._request(rows), self._endpoint.retry, repeatable=safe)
            self._take(rows, response)
            passing = [row for row in rows.tolist() if self._may_pass(row)]
            if not passing:
                return
            try:
                wait_s = attempts.wait_s(self._errors[passing[0]], time.monotonic())
            except CarouselError:
                return
            yield Wait(wait_s)
            rows = np.array(passing, np.int64)

    def _may_pass(self, row: int) -> bool:
        error = self._errors.get(row)
        if error is None or not error.is_passing:
            return False
        return error.advanced is False or self._columns.may_repeat(row)

    def _request(self, rows: Int64s) -> httpx.Request:
        ids = [self._columns.session_ids[row] for row in rows.tolist()]
        return self._endpoint.request(
            "POST",
            self._endpoint.at("v1", "steps"),
            content=write_tensors(self._columns.tensors(rows), self._head.metadata(ids)),
            headers={"Content-Type": SAFETENSORS},
        )

    def _take(self, rows: Int64s, response: httpx.Response) -> None:
        if response.headers.get("content-type") != SAFETENSORS:
            raise BadAnswer("the answer does not hold columns")
        with expecting("the columns of the model"):
            found = read_tensors(response.content)
            errors = json.loads(read_metadata(response.content)["errors"])
            self._positions[rows] = found["position"]
            self._status[rows] = found["status"]
            self._replayed[rows] = found["replayed"] != 0
            if self._head.open:
                self._opened[rows] |= found["opened"] != 0
            for info in self._infos:
                self._put(info, rows, found[info.name])
            for row in rows.tolist():
                self._errors.pop(row, None)
            for index, members in errors.items():
                self._errors[int(rows[int(index)])] = make_error(members)

    def _put(self, info: TensorInfo, rows: Int64s, array: Array) -> None:
        column = self._outputs.get(info.name)
        if column is None:
            length = self._length(info)
            column = self._outputs[info.name] = np.zeros((length, *array.shape[1:]), array.dtype)
        column[self._columns.events(rows) if self._is_packed(info) else rows] = array

    def _give_up(self, rows: Int64s, error: CarouselError) -> None:
        self._status[rows] = error.status
        self._errors |= dict.fromkeys(rows.tolist(), error)

    def _output(self, info: TensorInfo) -> Array:
        found = self._outputs.get(info.name)
        # Of no rows there was no answer.
        return np.zeros((0, *info.sizes), info.dtype) if found is None else found

    def _is_packed(self, info: TensorInfo) -> bool:
        return info.has_time and self._columns.lengths is not None

    def _length(self, info: TensorInfo) -> int:
        if not self._is_packed(info):
            return self._columns.num_rows
        assert self._columns.lengths is not None
        return int(self._columns.lengths.sum())

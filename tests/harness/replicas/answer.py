"""What the service's answers say, in the checker's words. An answer the contract does not know is a
Violation.

The witness is fed rows (v, 2v): a state or an output whose halves do not fit is a Violation too.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from tests.harness.chaos import message
from tests.harness.chaos.truth import Row, Told, Violation
from tests.harness.chaos.wire import Answer
from tests.harness.histories import (
    Absent,
    Conflict,
    Done,
    Exists,
    NotKept,
    Refused,
    Seen,
    Step,
    Stepped,
)
from tests.harness.histories import Answer as Said

_NOTHING_DONE = ("queue_full", "deadline_exceeded")


def rows(values: Sequence[int]) -> list[Row]:
    """The inputs of a step, (T, F)."""
    return [(value, 2 * value) for value in values]


def number(row: Row) -> int:
    """The value or total that a row of two numbers is."""
    value = int(row[0])
    if row != (value, 2 * value):
        raise Violation(f"{row} is no sum of rows (v, 2v): it mixes two states")
    return value


def read_step(call: Step, answer: Answer) -> Said | None:
    """The answer to a step; None where it says that nobody knows."""
    if answer.status != 200:
        return _read_refusal(_problem(answer), is_step=True)
    return _stepped(call, message.read_step(answer))


def read_result(call: Step, result: Any) -> Said | None:
    """The same for one result in bulk."""
    if "error" in result:
        return _read_refusal(result["error"], is_step=True)
    return _stepped(call, message.read_result(result, replayed=result.get("replayed", False)))


def read_look(call: Step, answer: Answer) -> Said | None:
    """The answer to a step with `"commit": false`, which is a read of where it would start."""
    said = read_step(call, answer)
    if isinstance(said, Stepped):
        start = said.outputs[0] - call.values[0]
        if said.replayed or said.outputs != (*accumulate(call.values, initial=start),)[1:]:
            raise Violation(f"a look by {call} was answered {said}")
        return Seen(said.position - len(call.values), start)
    return Seen(said.position) if isinstance(said, Conflict) else said


def read_state(answer: Answer) -> Said | None:
    """The answer to a state read."""
    if answer.status != 200:
        return _read_refusal(_problem(answer))
    place = message.read_state(answer)
    return Seen(place.position, number(place.sums))


def read_info(answer: Answer) -> Said | None:
    """The answer to `GET /v1/sessions/{id}`."""
    if answer.status != 200:
        return _read_refusal(_problem(answer))
    return Seen(json.loads(answer.body)["position"])


def read_done(answer: Answer, position: int | None, *, status: int = 200) -> Said | None:
    """The answer to a call that leaves the session at `position`, if it leaves one."""
    if answer.status == 409:
        return Exists(_problem(answer)["session"]["position"])
    if answer.status != status:
        return _read_refusal(_problem(answer))
    if position is not None and json.loads(answer.body)["position"] != position:
        raise Violation(f"left at {answer.body!r}; expected {position}")
    return Done()


def read_fork(answer: Answer, ids: Sequence[str]) -> "list[Said | None] | None":
    """Of the source and of each target; None where it was not forked and nothing is known."""
    if answer.status == 201:
        document = json.loads(answer.body)
        if [(each["session_id"], each["position"]) for each in document["sessions"]] != [
            (each, document["position"]) for each in ids
        ]:
            raise Violation(f"a fork into {ids} was answered {document}")
        return [Seen(document["position"]), *(Done() for _ in ids)]
    if answer.status == 409:
        there = {each["session_id"]: each["position"] for each in _problem(answer)["sessions"]}
        # Of those that are not named it says nothing: a fork may be done while it is looked for.
        return [Refused(), *(Exists(there[id]) if id in there else Refused() for id in ids)]
    said = _read_refusal(_problem(answer))
    return None if said is None else [said, *(Refused() for _ in ids)]


def _stepped(call: Step, told: Told) -> Stepped:
    if (told.state is not None) != call.return_state:
        raise Violation(f"{call} was answered with the state {told.state}")
    outputs = tuple(map(number, told.outputs))
    total = None if told.state is None else number(told.state)
    if len(outputs) != len(call.values) or total not in (None, outputs[-1]):
        raise Violation(f"{call} was answered with {told}")
    return Stepped(outputs, told.position, told.replayed, total)


def _problem(answer: Answer) -> Any:
    if answer.headers.get(b"content-type") != b"application/problem+json":
        raise Violation(f"answered {answer.status} {answer.body!r}")
    return json.loads(answer.body)


def _read_refusal(problem: Any, *, is_step: bool = False) -> Said | None:
    code = problem["code"]
    advanced = "unknown" if code == "store_unavailable" else False
    if is_step and problem["advanced"] != advanced:
        raise Violation(f"advanced is not {advanced!r} in {problem}")
    if code == "store_unavailable":
        return None
    if code in _NOTHING_DONE:
        return Refused()
    if code == "session_not_found":
        return Absent()
    if is_step and code == "position_conflict":
        return Conflict(problem["position"])
    if is_step and code == "reply_not_kept":
        return NotKept(problem["position"])
    raise Violation(f"refused with {problem}")

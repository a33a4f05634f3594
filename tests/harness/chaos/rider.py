"""A client with a few sessions: steps them at random, sends again what was not answered, and checks
every answer against its own sums.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.harness.chaos import message
from tests.harness.chaos.line import Line
from tests.harness.chaos.progress import Tally
from tests.harness.chaos.truth import Place, Row, Step, Told, Truth
from tests.harness.chaos.wire import Answer

# No row is all zero: a time step that is run twice shows in the sums.
_ROWS: list[Row] = [(a, b) for a in range(3) for b in range(3) if a or b]
_FEW_STEPS = 8
_LONG_SHARE = 0.2
_PAGE = 100


@dataclass(slots=True)
class Tries:
    """What became of the attempts at one step: `done`, whether a look at the session showed it
    done; `sent`: an attempt without an answer may have run.
    """

    sent: bool = False
    done: bool | None = None


class Rider:
    """Does one thing at a time, on one session (or, in bulk, on all of its own)."""

    def __init__(
        self, line: Line, tally: Tally, rng: random.Random, owned: list[Truth], max_rows: int
    ) -> None:
        self.line = line
        self.tally = tally
        self.rng = rng
        self.owned = owned
        self._max_rows = max_rows

    def __repr__(self) -> str:
        return f"<Rider {len(self.owned)} sessions {self.line!r}>"

    async def step(self, truth: Truth) -> None:
        """One step, until it is answered."""
        step = truth.plan(self._rows())
        tries = Tries()
        while True:
            truth.note(f"step from {step.base} by {len(step.rows)}")
            answer = await self.line.ask(
                self._step_request(truth, step), lambda late: self._hear_late(truth, step, late)
            )
            if answer is not None:
                break
            await self._take_no_answer(truth, step, tries)
        told = self._read_step(truth, answer)
        self._judge(truth, step, told, tries)

    async def bulk(self) -> None:
        """A step of each session in one request, until it is answered; each counts by itself."""
        steps = {truth.id: (truth, truth.plan(self._rows())) for truth in self.owned}
        tries = {each: Tries() for each in steps}
        request = message.bulk({each: step for each, (_, step) in steps.items()})
        while True:
            for truth, step in steps.values():
                truth.note(f"step in bulk from {step.base} by {len(step.rows)}")
            answer = await self.line.ask(request)
            if answer is not None:
                break
            for truth, step in steps.values():
                await self._take_no_answer(truth, step, tries[truth.id])
        results = self.read(answer, 200, self.owned[0])["results"]
        for result, (truth, step) in zip(results, steps.values(), strict=True):
            if result["session_id"] != truth.id or "error" in result:
                raise truth.violation(f"the result in bulk: {result}")
            told = message.read_result(result, replayed=result.get("replayed", False))
            self._judge(truth, step, told, tries[truth.id])

    async def look_ahead(self, truth: Truth) -> None:
        """A step that is only looked at: answered as it would be, and nothing moves."""
        step = truth.plan(self._rows())
        truth.note(f"look ahead from {step.base} by {len(step.rows)}")
        answer = await self.ask(lambda: self._step_request(truth, step, commit=False))
        truth.judge(step, self._read_step(truth, answer), replayed=False)

    async def repeat(self, truth: Truth) -> None:
        """An answered step again: the very last gets its recorded reply, an older one perhaps."""
        if not truth.recent:
            return
        step = self.rng.choice(truth.recent)
        is_last = step is truth.recent[-1]
        truth.note(f"repeat from {step.base} by {len(step.rows)}")
        answer = await self.ask(lambda: self._step_request(truth, step, may_ask_state=is_last))
        if answer.status == 409 and not is_last:
            self._check_conflict(truth, answer)
            return
        truth.judge(step, self._read_step(truth, answer), replayed=True)
        self.tally.repeats += 1

    async def stray(self, truth: Truth) -> None:
        """A step from a position where the session is not, or with other inputs than it had."""
        step = truth.plan(self._rows())
        if truth.recent and self.rng.random() < 0.5:
            step.base = truth.recent[-1].base
            step.rows[0] = self._other_row(truth.recent[-1].rows[0])
        else:
            step.base += self.rng.randint(1, 3)
        truth.note(f"stray step from {step.base} by {len(step.rows)}")
        answer = await self.ask(lambda: self._step_request(truth, step))
        if answer.status != 409:
            raise truth.violation(f"a stray step was answered {answer.status} {answer.body!r}")
        self._check_conflict(truth, answer)

    async def check(self, truth: Truth) -> None:
        """The state that is read is the truth."""
        tensors = self.rng.random() < 0.5
        answer = await self.ask(lambda: message.read_request(truth.id, tensors=tensors))
        self.require(answer, 200, truth)
        found = message.read_state(answer)
        if found != truth.place:
            raise truth.violation(f"the store holds {found}")

    async def check_whole(self, truth: Truth) -> None:
        """State and last recorded reply are the truth."""
        await self.check(truth)
        if truth.recent:
            step = truth.recent[-1]
            answer = await self.ask(lambda: self._step_request(truth, step))
            truth.judge(step, self._read_step(truth, answer), replayed=True)
            self.tally.repeats += 1

    async def list_sessions(self) -> dict[str, int]:
        """Every session of the store by its id, with its position."""
        found: dict[str, int] = {}
        more = ""
        while True:
            path = f"/v1/sessions?limit={_PAGE}{more}"
            answer = await self.ask(partial(message.call, "GET", path))
            page = json.loads(answer.body)
            found |= {each["session_id"]: each["position"] for each in page["sessions"]}
            if page["next"] is None:
                return found
            more = f"&after={page['next']}"

    async def ask(self, build: Callable[[], bytes]) -> Answer:
        """The answer to a call that may be sent as often as it takes."""
        while True:
            answer = await self.line.ask(build())
            if answer is not None:
                return answer
            self.tally.retries += 1

    def require(self, answer: Answer, status: int, truth: Truth) -> None:
        """Raise Violation unless the answer has this status."""
        if answer.status != status:
            raise truth.violation(f"answered {answer.status} {answer.body!r}; expected {status}")

    def read(self, answer: Answer, status: int, truth: Truth) -> Any:
        """The document of an answer that must have this status."""
        self.require(answer, status, truth)
        return json.loads(answer.body)

    async def _take_no_answer(self, truth: Truth, step: Step, tries: Tries) -> None:
        """After an attempt without an answer: half of the time see whether it was run."""
        truth.note("no answer")
        self.tally.retries += 1
        tries.sent = True
        # What was seen not to have run is sent once more, and may have run then.
        tries.done = tries.done or None
        if self.rng.random() < 0.5:
            return
        answer = await self.ask(lambda: message.call("GET", message.session_path(truth.id)))
        position = self.read(answer, 200, truth)["position"]
        truth.note(f"seen at {position}")
        expected = (step.end,) if tries.done else (step.base, step.end)
        if position not in expected:
            raise truth.violation(f"stands at {position}; expected one of {expected}")
        tries.done = position == step.end

    def _judge(self, truth: Truth, step: Step, told: Told, tries: Tries) -> None:
        """Check the answer to a step, and take it into the truth."""
        replayed = tries.done
        if not tries.sent:
            replayed = False
        elif not tries.done and self.line.impatient:
            # The attempt that was given up may run at any moment.
            replayed = None
        truth.judge(step, told, replayed=replayed)
        truth.note(f"at {step.end}, replayed {told.replayed}")
        truth.advance(step)
        self.tally.steps += len(step.rows)
        self.tally.replays += told.replayed

    def _hear_late(self, truth: Truth, step: Step, answer: Answer) -> None:
        """An answer after its client gave up: the same as the other, or a refusal."""
        truth.note(f"late answer {answer.status} to the step from {step.base}")
        if answer.status == 200:
            truth.judge(step, message.read_step(answer))
        elif answer.status == 409:
            if json.loads(answer.body)["position"] < step.end:
                raise truth.violation(f"a late answer: {answer.body!r}")
        elif answer.status != 404 or not truth.deleted:
            raise truth.violation(f"a late answer: {answer.status} {answer.body!r}")

    def _check_conflict(self, truth: Truth, answer: Answer) -> None:
        document = json.loads(answer.body)
        told = Place(document["position"], truth.place.sums)
        if document["code"] != "position_conflict" or told != truth.place:
            raise truth.violation(f"the refusal {document}")

    def _read_step(self, truth: Truth, answer: Answer) -> Told:
        self.require(answer, 200, truth)
        return message.read_step(answer)

    def _step_request(
        self, truth: Truth, step: Step, *, may_ask_state: bool = True, **flags: bool
    ) -> bytes:
        """The step in an encoding drawn anew, so that a retry may come in the other one."""
        if may_ask_state and self.rng.random() < 0.1:
            flags["return_state"] = True
        if self.rng.random() < 0.5:
            return message.step_json(truth.id, step, **flags)
        return message.step_raw(truth.id, step, **flags)

    def _rows(self) -> list[Row]:
        """A few time steps mostly, at times many."""
        most = min(_FEW_STEPS, self._max_rows)
        num_rows = self.rng.randint(1, most)
        if self.rng.random() < _LONG_SHARE:
            num_rows = int(self._max_rows ** self.rng.random())
        return self.rng.choices(_ROWS, k=num_rows)

    def _other_row(self, row: Row) -> Row:
        return self.rng.choice([each for each in _ROWS if each != row])

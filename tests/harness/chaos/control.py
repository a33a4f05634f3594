"""What else a client does with its sessions: open, reset, write, fork, delete.

None of these names a position. One that got no answer was done or was not: the session is read to
find out which, and a third outcome is a violation.
"""

import json
from collections.abc import Callable

from tests.harness.chaos import message
from tests.harness.chaos.rider import Rider
from tests.harness.chaos.truth import ZERO, Place, Row, Truth
from tests.harness.chaos.wire import Answer
from tests.harness.witness import WITNESS_MODEL

_MAX_PLACE = 1 << 30
_MAX_SUM = 1 << 16


class Control:
    """The calls on a rider's sessions. `new_id` draws an id that nobody had."""

    def __init__(self, rider: Rider, new_id: Callable[[], str]) -> None:
        self._rider = rider
        self._rng = rider.rng
        self._new_id = new_id

    def __repr__(self) -> str:
        return f"<Control {self._rider!r}>"

    async def open(self, session_id: str | None = None) -> None:
        """A session at zero or at a state of the client's."""
        truth = Truth(session_id or self._new_id())
        document: dict[str, object] = {"model": WITNESS_MODEL, "session_id": truth.id}
        if self._rng.random() < 0.5:
            truth.put(self._place())
            document |= {"state": message.state(truth.place), "position": truth.place.position}
        truth.note(f"open at {truth.place}")
        answer, again = await self._ask(truth, message.call("POST", "/v1/sessions", document))
        if answer.status == 409 and again:
            info = json.loads(answer.body).get("session")
        else:
            info = self._rider.read(answer, 201, truth)
        self._check_info(truth, info)
        self._rider.owned.append(truth)

    async def reset(self, truth: Truth) -> None:
        """Back to zero."""
        truth.note("reset")
        request = message.call("POST", f"{message.session_path(truth.id)}/reset")
        await self._overwrite(truth, Place(0, ZERO), request)

    async def write(self, truth: Truth) -> None:
        """A state and a position of the client's."""
        place = self._place()
        truth.note(f"write {place}")
        write = self._rng.choice([message.write_json, message.write_tensors])
        await self._overwrite(truth, place, write(truth.id, place))

    async def fork(self, truth: Truth) -> None:
        """One to three copies, which are stepped on like any other session."""
        copies = [Truth(self._new_id(), truth.place) for _ in range(self._rng.randint(1, 3))]
        ids = [copy.id for copy in copies]
        truth.note(f"fork into {ids}")
        path = f"{message.session_path(truth.id)}/fork"
        request = message.call("POST", path, {"session_ids": ids})
        answer, again = await self._ask(truth, request)
        # A fork that was done without an answer says so by the ids it made, all of them.
        status = 409 if answer.status == 409 and again else 201
        infos = self._rider.read(answer, status, truth)["sessions"]
        if [info["session_id"] for info in infos] != ids:
            raise truth.violation(f"forked into {infos}; expected {ids}")
        for copy, info in zip(copies, infos, strict=True):
            copy.note(f"forked from {truth.id} at {truth.place}")
            self._check_info(copy, info)
        self._rider.owned.extend(copies)

    async def delete(self, truth: Truth) -> None:
        """Gone, and it stays so."""
        truth.note("delete")
        truth.deleted = True
        self._rider.owned.remove(truth)
        request = message.call("DELETE", message.session_path(truth.id))
        answer, again = await self._ask(truth, request)
        if not (again and answer.status == 404):
            self._rider.require(answer, 204, truth)
        read = message.read_request(truth.id, tensors=False)
        self._rider.require(await self._rider.ask(lambda: read), 404, truth)

    async def _overwrite(self, truth: Truth, after: Place, request: bytes) -> None:
        self._rider.tally.controls += 1
        answer = await self._rider.line.ask(request)
        if answer is None:
            await self._find_out(truth, after)
            return
        info = self._rider.read(answer, 200, truth)
        truth.put(after)
        self._check_info(truth, info)

    async def _find_out(self, truth: Truth, after: Place) -> None:
        """Which of the two a call without an answer did."""
        truth.note("no answer")
        self._rider.tally.retries += 1
        request = message.read_request(truth.id, tensors=False)
        answer = await self._rider.ask(lambda: request)
        self._rider.require(answer, 200, truth)
        found = message.read_state(answer)
        truth.note(f"seen at {found}")
        if found == after:
            truth.put(after)
        elif found != truth.place:
            raise truth.violation(f"stands at {found}; expected {truth.place} or {after}")

    async def _ask(self, truth: Truth, request: bytes) -> tuple[Answer, bool]:
        """The answer to a call that may be sent again, and whether it was."""
        self._rider.tally.controls += 1
        again = False
        while (answer := await self._rider.line.ask(request)) is None:
            truth.note("no answer")
            self._rider.tally.retries += 1
            again = True
        return answer, again

    def _check_info(self, truth: Truth, info: object) -> None:
        if not isinstance(info, dict) or info.get("session_id") != truth.id:
            raise truth.violation(f"answered {info}")
        if info["position"] != truth.place.position:
            raise truth.violation(f"answered position {info['position']}")

    def _place(self) -> Place:
        sums: Row = (self._rng.randrange(_MAX_SUM), self._rng.randrange(_MAX_SUM))
        return Place(self._rng.randrange(_MAX_PLACE), sums)

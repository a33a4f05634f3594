"""A client's way to the service, whichever process that is just now; clients lose patience here."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.harness.chaos.progress import Tally
from tests.harness.chaos.truth import Violation
from tests.harness.chaos.victim import Victim
from tests.harness.chaos.wire import Answer, Wire

PATIENCE_S = 30.0
_MAX_LATE = 4
_TORN_SHARE = 0.1
_BACK_OFF_S = 0.05
_MAX_USUAL_S = 0.05
_MAX_REFUSED = 600

# Told of the answer to a request whose client had given up.
Late = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A request that was given up, on a connection that was left open."""

    wire: Wire
    answer: "asyncio.Future[Answer | None]"
    late: Late


class Line:
    """Sends one request after the other; connects again where it must.

    `impatient`: requests that may be given up are, half of them or so, at a random moment up to
    twice the time that an answer usually takes.
    """

    def __init__(
        self, victim: Victim, tally: Tally, rng: random.Random, *, impatient: bool
    ) -> None:
        self.impatient = impatient
        self._victim = victim
        self._tally = tally
        self._rng = rng
        self._wire: Wire | None = None
        # Which of the service's lives the connection belongs to.
        self._life = 0
        self._usual_s = 0.002
        self._num_refused = 0
        self._awaited: list[_Awaited] = []

    def __repr__(self) -> str:
        return f"<Line {self._wire!r} awaited={len(self._awaited)}>"

    async def ask(self, request: bytes, late: Late | None = None) -> Answer | None:
        """The answer; None if there is none: the service was killed, is not available, or, where
        `late` is given, the client lost its patience. A late answer is told to `late`.

        Raises Violation if a living service hangs up or stays silent.
        """
        self._hear_late()
        wire = await self._connect()
        self._tally.requests += 1
        if late is not None and self.impatient:
            return await self._ask_impatiently(wire, request, late)
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await wire.ask(request)
        except TimeoutError:
            raise Violation(f"no answer within {PATIENCE_S:.0f} s to {request!r}") from None
        return await self._take(answer)

    async def finish(self) -> None:
        """Hear every late answer that still comes, and hang up."""
        waiting = [each.answer for each in self._awaited]
        if waiting:
            _, silent = await asyncio.wait(waiting, timeout=PATIENCE_S)
            if silent:
                raise Violation(f"{len(silent)} late answers did not come")
        self._hear_late()
        self.close()

    def close(self) -> None:
        """Hang up."""
        for each in self._awaited:
            each.wire.close()
        self._awaited.clear()
        if self._wire is not None:
            self._wire.close()

    async def _connect(self) -> Wire:
        """The open connection, or a new one."""
        loop = asyncio.get_running_loop()
        while self._wire is None or self._wire.closed:
            await self._victim.wait_up()
            self._life = self._victim.num_started
            try:
                _, self._wire = await loop.create_connection(Wire, "127.0.0.1", self._victim.port)
            except OSError as error:
                if self._is_alive():
                    raise Violation(f"the service takes no connection: {error}") from None
        return self._wire

    def _is_alive(self) -> bool:
        """Whether the process that the connection belongs to has not been killed."""
        return self._victim.is_up and self._victim.num_started == self._life

    async def _ask_impatiently(self, wire: Wire, request: bytes, late: Late) -> Answer | None:
        if self._rng.random() < _TORN_SHARE:
            wire.ask(request[: self._rng.randrange(1, len(request))])
            self._hang_up(wire)
            self._tally.torn += 1
            return None
        loop = asyncio.get_running_loop()
        began = loop.time()
        future = wire.ask(request)
        await asyncio.wait([future], timeout=self._rng.uniform(0, 2 * self._usual_s))
        if future.done():
            self._usual_s += 0.05 * (loop.time() - began - self._usual_s)
            return await self._take(future.result())
        self._usual_s = min(1.01 * self._usual_s, _MAX_USUAL_S)
        self._tally.timeouts += 1
        if len(self._awaited) < _MAX_LATE and self._rng.random() < 0.5:
            self._awaited.append(_Awaited(wire, future, late))
            self._wire = None
        else:
            self._hang_up(wire)
        return None

    def _hang_up(self, wire: Wire) -> None:
        if self._rng.random() < 0.5:
            wire.abort()
        else:
            wire.close()

    async def _take(self, answer: Answer | None) -> Answer | None:
        if answer is None:
            if self._is_alive():
                tail = self._victim.log_tail()
                raise Violation(f"the service hung up without an answer; its log:\n{tail}")
            self._tally.unanswered += 1
        elif answer.status == 503:
            self._tally.unavailable += 1
            self._num_refused += 1
            if self._num_refused > _MAX_REFUSED:
                raise Violation(f"not available for too long: {answer.body!r}")
            await asyncio.sleep(_BACK_OFF_S)
            return None
        else:
            self._num_refused = 0
        return answer

    def _hear_late(self) -> None:
        for each in [each for each in self._awaited if each.answer.done()]:
            self._awaited.remove(each)
            each.wire.close()
            answer = each.answer.result()
            if answer is not None:
                self._tally.late += 1
                each.late(answer)

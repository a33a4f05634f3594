"""Steps of many sessions that came in one request: what each is, and how they run."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from carousel.service.api.encoding.codec import Codec
from carousel.service.api.http.problem import unexpected
from carousel.service.errors import CarouselError, PositionConflict, forget_frames
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.step import Done, Step
from carousel.service.sessions.step_run import StepRun

# Sessions whose steps are begun together.
_AT_ONCE = 256


@dataclass(slots=True)
class BulkEntry:
    """One step of the request, and what became of it."""

    session_id: str
    inputs: Any
    position: int | None
    where: str
    session: Session | None = None
    # The model that it was read for, and what it is to that one.
    codec: Codec | None = None
    step: Step | CarouselError | None = None
    reply: StepReply | None = None
    error: CarouselError | None = None

    def refuse(self, error: CarouselError) -> None:
        """It failed. Until the answer is told, ten thousand errors would hold what they came
        through.
        """
        forget_frames(error)
        self.error = error

    def parse(self, codec: Codec, deadline: float, *, bools: bool) -> None:
        """Read what it is to a model."""
        self.codec = codec
        try:
            where = f"{self.where}.inputs"
            sequence = codec.inputs.read_json(self.inputs, where, bools=bools)
            self.step = Step(sequence.inputs, sequence.num_steps, deadline, self.position)
        except CarouselError as error:
            forget_frames(error)
            self.step = error

    def read(self, codec: Codec, deadline: float, *, bools: bool) -> Step:
        """The step that it is to a model; raises CarouselError."""
        if self.codec is not codec:
            self.parse(codec, deadline, bools=bools)
        assert self.step is not None
        if isinstance(self.step, CarouselError):
            raise self.step
        return self.step


class Chain:
    """The steps of one session, in their order; after one that is refused only those that name a
    position.
    """

    __slots__ = ("_at", "_begin", "_ended", "_entries", "_is_refused", "_run")

    def __init__(
        self, entries: Sequence[BulkEntry], begin: Callable[[BulkEntry, Done], StepRun]
    ) -> None:
        self._entries = entries
        self._begin = begin
        self._at = 0
        self._is_refused = False
        self._run: StepRun | None = None

    def begin(self, ended: Callable[[], None]) -> None:
        """Begin with the first; `ended` is called after the last, maybe at once."""
        self._ended = ended
        self._go_on()

    def abandon(self) -> None:
        """Nobody waits for them any more."""
        self._at = len(self._entries)
        if self._run is not None:
            self._run.abandon()

    def _go_on(self) -> None:
        while self._at < len(self._entries):
            entry = self._entries[self._at]
            if entry.error is None and self._is_refused and entry.position is None:
                entry.error = _follows_refused(entry)
            if entry.error is None:
                self._run = self._begin(entry, self._done)
                return
            self._is_refused = True
            self._at += 1
        self._ended()

    def _done(self, outcome: StepReply | Exception) -> None:
        self._run = None
        if self._at < len(self._entries):
            entry = self._entries[self._at]
            if isinstance(outcome, StepReply):
                entry.reply = outcome
            elif isinstance(outcome, CarouselError):
                entry.refuse(outcome)
            else:
                entry.error = unexpected(outcome, where="a step of many")
            self._is_refused = entry.error is not None
            self._at += 1
        self._go_on()


async def run_all(chains: Sequence[Chain]) -> None:
    """Run them all to their ends; cancelled, it abandons what runs."""
    all_ended = asyncio.Event()
    num_left = len(chains)

    def ended() -> None:
        nonlocal num_left
        num_left -= 1
        if num_left == 0:
            all_ended.set()

    try:
        for index, chain in enumerate(chains, 1):
            chain.begin(ended)
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)  # others have requests too
        if chains:
            await all_ended.wait()
    except asyncio.CancelledError:
        for chain in chains:
            chain.abandon()
        raise


def _follows_refused(entry: BulkEntry) -> PositionConflict:
    assert entry.session is not None
    return PositionConflict(
        "an earlier step of this session in this request was refused",
        hint="a step that names its position is run by the position rules",
        position=entry.session.position,
    )

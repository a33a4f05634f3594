"""A step from its body to its answer, whichever protocol it came by.

Short bodies are read on the loop, at the moment when their session has its turn. A long one is
parsed before that, beside the loop, for the model that the session has then; so is a long answer
written. What a long answer may take is counted before anything is run for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.request import Abandoned
from carousel.service.errors import CarouselError
from carousel.service.sessions.deadline import within
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.step import Done, Read, Step
from carousel.service.sessions.step_run import StepRun

Answered = TypeVar("Answered")
_Told = TypeVar("_Told", covariant=True)


class StepWork(Protocol[_Told]):
    """What a body is to one model, and how it is answered."""

    @property
    def step(self) -> Step: ...

    @property
    def answer_bytes(self) -> int: ...

    def answer(self, reply: StepReply) -> _Told: ...


class BeginStep(Protocol):
    """`Sessions.begin`, or what is called like it."""

    def __call__(self, key: Key, read: Read, deadline: float, done: Done, /) -> StepRun: ...


class StepCall(Generic[Answered]):
    """Owned by the event loop.

    `parse` says what the body is to a model; `tell` is told once, later, the answer or why there is
    none, Abandoned where nobody waits for it any more.
    """

    __slots__ = ("_held", "_parse", "_run", "_tell", "_transcoder", "_work")

    _run: StepRun | None
    _work: StepWork[Answered]

    def __init__(
        self,
        transcoder: Transcoder,
        parse: Callable[[LoadedModel], StepWork[Answered]],
        tell: Callable[[Answered | Exception], None],
    ) -> None:
        self._transcoder = transcoder
        self._parse = parse
        self._tell = tell
        self._held = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._run!r}>"

    def begin(self, begin_step: BeginStep, key: Key, deadline: float) -> None:
        """Begin a step of the session `key`, to be had by `deadline` (monotonic)."""
        self._run = begin_step(key, self._read, deadline, self._done)

    def abandon(self) -> None:
        """The client has gone: the step need not run, unless it does already."""
        if self._run is not None:
            self._run.abandon()

    def _read(self, loaded: LoadedModel) -> Step:
        work = self._work = self._parse(loaded)
        if self._held or work.answer_bytes >= COUNTED_BYTES:
            self._hold(work)
        return work.step

    def _hold(self, work: StepWork[Answered]) -> None:
        """Count what the answer may take, in place of what was counted for another model."""
        self._release()
        self._held = self._transcoder.take(work.answer_bytes)

    def _done(self, outcome: StepReply | Exception) -> None:
        # The run leads back here: left in place, this ring would be the garbage collector's.
        self._run = None
        answered: Answered | Exception
        if isinstance(outcome, Exception):
            answered = outcome
        elif self._held:
            writing = asyncio.ensure_future(self._write(outcome))
            writing.add_done_callback(self._written)
            return
        else:
            try:
                answered = self._work.answer(outcome)
            except Exception as error:
                # Whatever went wrong, somebody waits for an answer.
                answered = error
        if self._held:
            self._release()
        self._tell(answered)

    async def _write(self, reply: StepReply) -> Answered:
        work = self._work
        return await self._transcoder.write(work.answer_bytes, lambda: work.answer(reply))

    def _written(self, writing: "asyncio.Task[Answered]") -> None:
        self._release()
        if writing.cancelled():
            self._tell(Abandoned())
            return
        error = writing.exception()
        assert error is None or isinstance(error, Exception)
        self._tell(error or writing.result())

    def _release(self) -> None:
        self._transcoder.give_back(self._held)
        self._held = 0


class LongStepCall(StepCall[Answered]):
    """The same of a long body, of which `text` has to be parsed.

    `find` finds the model that the session has; `largest`: the largest request of a model.
    """

    __slots__ = ("_find", "_largest", "_parsed", "_task", "_text")

    def __init__(
        self,
        transcoder: Transcoder,
        parse: Callable[[LoadedModel], StepWork[Answered]],
        tell: Callable[[Answered | Exception], None],
        text: bytes | memoryview,
        find: Callable[[], Awaitable[LoadedModel]],
        largest: Callable[[LoadedModel], LargestRequest],
    ) -> None:
        super().__init__(transcoder, parse, tell)
        self._text = text
        self._find = find
        self._largest = largest
        self._run = None
        self._task: asyncio.Task[None] | None = None
        # What it came to, and for which model.
        self._parsed: tuple[LoadedModel, StepWork[Answered] | CarouselError] | None = None

    def begin(self, begin_step: BeginStep, key: Key, deadline: float) -> None:
        """Parse it, and then begin as any other."""

        def prepared(task: "asyncio.Task[None]") -> None:
            self._task = None
            error = Abandoned() if task.cancelled() else task.exception()
            if error is None:
                StepCall.begin(self, begin_step, key, deadline)
            else:
                assert isinstance(error, Exception)
                self._tell(error)

        self._task = asyncio.ensure_future(self._prepare(deadline))
        self._task.add_done_callback(prepared)

    def abandon(self) -> None:
        """As of any other, also while it is parsed."""
        if self._task is not None:
            self._task.cancel()
        super().abandon()

    async def _prepare(self, deadline: float) -> None:
        loaded = await within(deadline, self._find(), "its session")
        work: StepWork[Answered] | CarouselError
        try:
            work = await self._transcoder.read(
                self._text,
                deadline,
                lambda: self._parse(loaded),
                lambda: self._largest(loaded),
            )
        except CarouselError as error:
            # Refused on the session's turn, unless it has another model by then.
            work = error
        self._parsed = loaded, work

    def _read(self, loaded: LoadedModel) -> Step:
        if self._parsed is None or self._parsed[0] is not loaded:
            return super()._read(loaded)
        work = self._parsed[1]
        if isinstance(work, CarouselError):
            raise work
        self._work = work
        self._hold(work)
        return work.step

    def _done(self, outcome: StepReply | Exception) -> None:
        self._parsed = None
        super()._done(outcome)

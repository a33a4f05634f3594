"""A stream of steps through one session, on asyncio's loop."""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from typing import Self

from carousel_client.async_link import AsyncLink
from carousel_client.async_source import END, AsyncSource
from carousel_client.async_wire import AsyncWire
from carousel_client.codec import Inputs, Outputs
from carousel_client.errors import CarouselError
from carousel_client.pipeline import Message, Pipeline, Reply
from carousel_client.retry import Attempts
from carousel_client.session_calls import SessionCalls
from carousel_client.turn import Life, Turn

log = logging.getLogger("carousel_client")


class AsyncStream(AsyncIterator[Outputs]):
    """Outputs, one for each of the inputs; made by `AsyncSession.stream`.

    It begins when the first output is asked for. Another call on its session ends it.
    """

    def __init__(
        self,
        wire: AsyncWire,
        calls: SessionCalls,
        turn: "Turn[AsyncStream]",
        inputs: Iterable[Inputs] | AsyncIterable[Inputs],
        ahead: int,
    ) -> None:
        self._wire = wire
        self._calls = calls
        self._turn = turn
        self._source = AsyncSource(inputs)
        self._failure: Exception | None = None
        self._pipeline = Pipeline(calls.codec, ahead)
        self._link: AsyncLink | None = None
        self._receiving: asyncio.Task[Message] | None = None
        self._attempts: Attempts | None = None
        self._life = Life.NEW

    def __repr__(self) -> str:
        return f"<AsyncStream {self._calls.id} {self._life.value} {self._pipeline!r}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outputs:
        with self._turn.taken():
            self._life.check()
            if self._life is Life.ENDED:
                raise StopAsyncIteration
            if self._life is Life.NEW:
                await self._begin()
            while True:
                await self._pull()
                if self._pipeline.is_empty:
                    await self.finish(Life.ENDED)
                    self._raise_failure()
                    raise StopAsyncIteration
                reply = await self._exchange()
                if reply is not None:
                    self._attempts = None
                    return reply.outputs

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream. What was sent ahead is still done: its outputs are dropped, and the
        session's `position` is behind it.
        """
        with self._turn.taken():
            await self.finish(Life.ENDED)

    async def finish(self, life: Life, within_s: float | None = None) -> None:
        """`aclose` for a caller who has the turn; `life` says what the stream is then. `within_s`:
        how long to wait for outputs at most.
        """
        if self._life.is_over:
            return
        self._life = life
        self._turn.leave(self)
        try:
            await self._source.close()
            await self._settle(within_s)
        finally:
            self._calls.is_unsure |= self._pipeline.num_unanswered > 0
            await self._drop()

    async def _settle(self, within_s: float | None) -> None:
        """Take the outputs of what was sent ahead: only they say that it was done."""
        with suppress(CarouselError, TimeoutError):
            async with asyncio.timeout(within_s):
                while self._link is not None and self._pipeline.num_unanswered:
                    await self._receive(self._link)

    async def _begin(self) -> None:
        other = self._turn.stream
        if other is not None:
            await other.finish(Life.INTERRUPTED)
        if self._calls.is_unsure:
            await self._wire.run(self._calls.info())
        self._turn.stream = self
        self._life = Life.OPEN
        self._pipeline.position = self._calls.position

    async def _pull(self) -> None:
        """Send what there is to send. Waits for inputs only while no reply can come."""
        await self._flush()
        while self._pipeline.wants_inputs and not self._is_fed:
            if not self._source.ready and self._link is not None and self._pipeline.num_unanswered:
                await self._source.wait_beside(self._begin_receiving(self._link))
                if not self._source.ready:
                    return
            try:
                inputs = await self._source.take()
                if inputs is not END:
                    self._pipeline.offer(inputs)
            except Exception as error:
                self._failure = error
            else:
                await self._flush()

    @property
    def _is_fed(self) -> bool:
        return self._source.exhausted or self._failure is not None

    def _raise_failure(self) -> None:
        error, self._failure = self._failure, None
        if error is not None:
            raise error

    async def _flush(self) -> None:
        try:
            while self._link is not None and (message := self._pipeline.next_message()) is not None:
                await self._link.send(message)
        except CarouselError as error:
            await self._fail(error)

    async def _exchange(self) -> Reply | None:
        """A reply, if the next message is one. A connection that failed is made anew."""
        try:
            if self._link is None:
                await self._connect()
                return None
            return await self._receive(self._link)
        except CarouselError as error:
            await self._fail(error)
            return None

    async def _connect(self) -> None:
        link = await AsyncLink(self._wire.endpoint, self._calls.id).open()
        try:
            for message in self._pipeline.begin(await link.receive()):
                await link.send(message)
        except BaseException:
            with suppress(CarouselError):
                await link.close()
            raise
        self._link = link

    def _begin_receiving(self, link: AsyncLink) -> asyncio.Task[Message]:
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(link.receive())
        return self._receiving

    async def _receive(self, link: AsyncLink) -> Reply | None:
        task, self._receiving = self._receiving, None
        message = await (link.receive() if task is None else task)
        try:
            return self._pipeline.take(message)
        finally:
            self._calls.position = self._pipeline.position

    async def _fail(self, error: CarouselError) -> None:
        """Wait before the next attempt; raises the error if there is to be none."""
        await self._drop()
        now = time.monotonic()
        if self._attempts is None:
            self._attempts = self._wire.endpoint.retry.begin(now)
        try:
            wait_s = self._attempts.wait_s(error, now)
        except CarouselError:
            self._life = Life.ENDED
            self._turn.leave(self)
            await self._source.close()
            raise
        log.info("stream of %s again in %.3f s: %s", self._calls.id, wait_s, error)
        await asyncio.sleep(wait_s)

    async def _drop(self) -> None:
        task, self._receiving = self._receiving, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            with suppress(CarouselError):
                await link.close()

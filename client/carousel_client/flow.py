"""Steps through one session on their way: inputs go out ahead, outputs come back in order."""

import logging
import math
import time
from collections.abc import Iterable
from contextlib import suppress

from carousel_client.codec import Inputs
from carousel_client.errors import CarouselError
from carousel_client.link import Link
from carousel_client.pipeline import Pipeline, Reply
from carousel_client.retry import Attempts
from carousel_client.session_calls import SessionCalls
from carousel_client.turn import Life, Turn
from carousel_client.wire import Wire

log = logging.getLogger("carousel_client")


class Flow:
    """What runs a Stream. Its session keeps it until it is over, also where nobody else does, so
    that what was sent ahead is never forgotten.
    """

    def __init__(
        self,
        wire: Wire,
        calls: SessionCalls,
        turn: "Turn[Flow]",
        inputs: Iterable[Inputs],
        ahead: int,
    ) -> None:
        self._wire = wire
        self._calls = calls
        self._turn = turn
        self._source = iter(inputs)
        self._exhausted = False
        self._failure: Exception | None = None
        self._pipeline = Pipeline(calls.codec, ahead)
        self._link: Link | None = None
        self._attempts: Attempts | None = None
        self._life = Life.NEW

    def __repr__(self) -> str:
        return f"<Flow {self._calls.id} {self._life.value} {self._pipeline!r}>"

    def next_reply(self) -> Reply | None:
        """The next; None if there are no more. An input or a source that fails has its error raised
        once all that went before is answered.
        """
        with self._turn.taken():
            self._life.check()
            if self._life is Life.ENDED:
                return None
            if self._life is Life.NEW:
                self._begin()
            while True:
                self._pull()
                if self._pipeline.is_empty:
                    self.finish(Life.ENDED)
                    self._raise_failure()
                    return None
                reply = self._exchange()
                if reply is not None:
                    self._attempts = None
                    return reply

    def close(self) -> None:
        """End it. What was sent ahead is still done: its outputs are dropped, and the session's
        `position` is behind it.
        """
        with self._turn.taken():
            self.finish(Life.ENDED)

    def finish(self, life: Life, within_s: float = math.inf) -> None:
        """`close` for a caller who has the turn; `life` says what it is then. `within_s`: how long
        to wait for outputs at most.
        """
        if self._life.is_over:
            return
        self._life = life
        self._turn.leave(self)
        try:
            self._settle(within_s)
        finally:
            self._calls.is_unsure |= self._pipeline.num_unanswered > 0
            self._drop()

    def _settle(self, within_s: float) -> None:
        """Take the outputs of what was sent ahead: only they say that it was done."""
        end = time.monotonic() + within_s
        with suppress(CarouselError):
            while self._link is not None and self._pipeline.num_unanswered:
                self._receive(self._link, end - time.monotonic())

    def _begin(self) -> None:
        other = self._turn.stream
        if other is not None:
            other.finish(Life.INTERRUPTED)
        if self._calls.is_unsure:
            self._wire.run(self._calls.info())
        self._turn.stream = self
        self._life = Life.OPEN
        self._pipeline.position = self._calls.position

    def _pull(self) -> None:
        """Send what there is to send."""
        self._flush()
        while self._pipeline.wants_inputs and not self._exhausted:
            try:
                self._pipeline.offer(next(self._source))
            except StopIteration:
                self._exhausted = True
            except Exception as error:
                self._exhausted, self._failure = True, error
            else:
                self._flush()

    def _raise_failure(self) -> None:
        error, self._failure = self._failure, None
        if error is not None:
            raise error

    def _flush(self) -> None:
        try:
            while self._link is not None and (message := self._pipeline.next_message()) is not None:
                self._link.send(message)
        except CarouselError as error:
            self._fail(error)

    def _exchange(self) -> Reply | None:
        """A reply, if the next message is one. A connection that failed is made anew."""
        try:
            if self._link is None:
                self._connect()
                return None
            return self._receive(self._link)
        except CarouselError as error:
            self._fail(error)
            return None

    def _connect(self) -> None:
        link = Link(self._wire.endpoint, self._calls.id)
        try:
            for message in self._pipeline.begin(link.receive()):
                link.send(message)
        except BaseException:
            with suppress(CarouselError):
                link.close()
            raise
        self._link = link

    def _receive(self, link: Link, within_s: float = math.inf) -> Reply | None:
        message = link.receive(within_s)
        try:
            return self._pipeline.take(message)
        finally:
            self._calls.position = self._pipeline.position

    def _fail(self, error: CarouselError) -> None:
        """Wait before the next attempt; raises the error if there is to be none."""
        self._drop()
        now = time.monotonic()
        if self._attempts is None:
            self._attempts = self._wire.endpoint.retry.begin(now)
        try:
            wait_s = self._attempts.wait_s(error, now)
        except CarouselError:
            self._life = Life.ENDED
            self._turn.leave(self)
            raise
        log.info("stream of %s again in %.3f s: %s", self._calls.id, wait_s, error)
        time.sleep(wait_s)

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with suppress(CarouselError):
                link.close()

"""The service with one promise taken out, to see that the load on several replicas notices.

python -m tests.harness.replicas.broken BREAK [flags of the service]
"""

import sys
from collections.abc import Callable, Sequence
from hashlib import sha1

from carousel.service.__main__ import main
from carousel.service.errors import Conflict, StoreUnavailable
from carousel.service.sessions import committer
from carousel.service.sessions.step_run import StepRun
from carousel.service.sessions.stores.redis import writer as redis_writer
from carousel.service.sessions.stores.redis.link import Command, RedisLink
from carousel.service.sessions.stores.redis.scripts import STEP, Script


def _write_always() -> None:
    """Steps are written whatever revision is there: no compare-and-set."""
    compared = b"found == ARGV[2 * i - 1]"
    assert STEP.text.count(compared) == 1
    text = STEP.text.replace(compared, b'found ~= ""')
    sha = sha1(text, usedforsecurity=False).hexdigest().encode()
    redis_writer.STEP = Script(text, sha)  # type: ignore[attr-defined]  # the writer's own name


def _trust_the_cache() -> None:
    """Replays come from the session in memory, which may be behind the store."""
    right = StepRun._reload

    def reload(self: StepRun) -> None:
        session, step = self.session, self._step
        if step.return_state or step.position in (None, session.meta.position):
            right(self)
            return
        try:
            reply = self._repeat(session, step)
        except Conflict:
            right(self)
        else:
            self._cache.leave(session)
            self._end(reply)

    StepRun._reload = reload  # type: ignore[method-assign]  # breaking it is the point


def _forget_replies() -> None:
    """No step is recorded: a retry of one that was done is a conflict."""
    committer.add_reply = lambda *_: b""  # type: ignore[attr-defined]  # as above


def _send_again() -> None:
    """A round trip that fails is repeated, as client libraries do: a commit may be done twice."""
    once = RedisLink.exchange

    def exchange(self: RedisLink, commands: Sequence[Command]) -> list[object]:
        try:
            return once(self, commands)
        except StoreUnavailable:
            return once(self, commands)

    RedisLink.exchange = exchange  # type: ignore[method-assign]  # as above


BREAKS: dict[str, Callable[[], None]] = {
    "write-always": _write_always,
    "trust-the-cache": _trust_the_cache,
    "forget-replies": _forget_replies,
    "send-again": _send_again,
}

if __name__ == "__main__":
    BREAKS[sys.argv.pop(1)]()
    main()

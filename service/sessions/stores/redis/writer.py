"""What the Redis store's writing thread does: one round trip for all that has come in."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.base import Done, Outcome, StoreStats, Write
from carousel.service.sessions.stores.redis.keys import (
    BURIED_KEY,
    DUE_KEY,
    ids_key,
    member,
    session_key,
)
from carousel.service.sessions.stores.redis.link import RedisLink
from carousel.service.sessions.stores.redis.scripts import DELETE, OPEN, STEP, Call
from carousel.service.sessions.stores.redis.value import pack

log = logging.getLogger("carousel.store")

# Redis serves nobody else while a script runs: longer ones are cut.
_CALL_ROWS = 256
_CALL_BYTES = 4 * 1024 * 1024

_OUTCOMES = {
    ord("W"): Outcome.WRITTEN,
    ord("L"): Outcome.LOST,
    ord("G"): Outcome.GONE,
    ord("D"): Outcome.DAMAGED,
}


@dataclass(slots=True, eq=False)
class StepsJob:
    """Steps to be written; they share calls with the steps of other batches."""

    writes: Sequence[Write]
    done: Done

    @property
    def rows(self) -> int:
        """How many outcomes there will be."""
        return len(self.writes)


@dataclass(slots=True, eq=False)
class ScriptJob:
    """Whatever else is written, by a script in a call of its own, which `make` makes."""

    make: Callable[[], Call]
    rows: int
    done: Done


class RedisWriter:
    """Owns the connection that writes. `handle` is a BatchWorker's."""

    def __init__(self, link: RedisLink, stats: StoreStats) -> None:
        self._link = link
        self._stats = stats

    def __repr__(self) -> str:
        return f"<RedisWriter {self._link!r} {self._stats!r}>"

    def handle(self, jobs: list[StepsJob | ScriptJob]) -> None:
        """Send everything at once, then tell each job its outcomes or the failure of its rows."""
        began = time.perf_counter()
        try:
            outcomes = self._outcomes(list(_calls(jobs)))
        except StoreUnavailable as error:
            outcomes = [error] * sum(job.rows for job in jobs)
        except Exception:
            log.exception("the session store failed to write")
            failed = StoreUnavailable("the session store failed")
            outcomes = [failed] * sum(job.rows for job in jobs)
        self._stats.committed(len(outcomes), time.perf_counter() - began)
        rest = iter(outcomes)
        for job in jobs:
            self._tell(job, list(islice(rest, job.rows)))

    def _outcomes(self, calls: list[Call]) -> list[Outcome | StoreUnavailable]:
        outcomes: list[Outcome | StoreUnavailable] = []
        for call, letters in zip(calls, self._link.call(calls), strict=True):
            if isinstance(letters, StoreUnavailable):
                outcomes += [letters] * call.rows
            else:
                outcomes += [_OUTCOMES[letter] for letter in letters]
        return outcomes

    def _tell(self, job: StepsJob | ScriptJob, outcomes: list[Outcome | StoreUnavailable]) -> None:
        known = [each for each in outcomes if isinstance(each, Outcome)]
        failed = next((each for each in outcomes if isinstance(each, StoreUnavailable)), None)
        if failed is not None:
            self._stats.failures += 1
        try:
            job.done(known if failed is None else failed)
        except Exception:
            log.exception("an answer of the store could not be taken")


def opening(writes: Sequence[Write], *, atomic: bool) -> Call:
    """The call that writes sessions and sets when they are due."""
    keys = [DUE_KEY, BURIED_KEY]
    arguments = [b"1" if atomic else b"0"]
    for write in writes:
        meta = write.record.meta
        due = repr(meta.expires_at).encode()
        keys += (session_key(meta.key), ids_key(meta.key[0]))
        arguments += (write.base or b"", pack(write.record), due)
        arguments += (member(meta.key), meta.id.encode())
    return OPEN.call(keys, arguments, len(writes))


def removal(key: Key, base: bytes) -> Call:
    """The call that deletes a session."""
    keys = [DUE_KEY, session_key(key), ids_key(key[0])]
    return DELETE.call(keys, [base, member(key), key[1].encode()], 1)


def _calls(jobs: Sequence[StepsJob | ScriptJob]) -> Iterator[Call]:
    """The calls of all jobs in their order; batches that follow one another share theirs."""
    for _, group in groupby(jobs, key=lambda job: isinstance(job, StepsJob)):
        batches: list[StepsJob] = []
        for job in group:
            if isinstance(job, StepsJob):
                batches.append(job)
            else:
                yield job.make()
        yield from _step_calls(batches)


def _step_calls(batches: Sequence[StepsJob]) -> Iterator[Call]:
    writes = chain.from_iterable(batch.writes for batch in batches)
    for ended, some in groupby(writes, key=lambda write: write.record.meta.ended):
        if ended:
            # What is left of it goes sooner than the session would have: it is due anew.
            yield from (opening([write], atomic=False) for write in some)
        else:
            yield from _live_calls(some)


def _live_calls(writes: Iterable[Write]) -> Iterator[Call]:
    keys: list[bytes] = []
    arguments: list[bytes] = []
    nbytes = 0
    for write in writes:
        # Whoever opens a session awaits `write`, which puts it on its tenant's list as well.
        assert write.base is not None
        value = pack(write.record)
        keys.append(session_key(write.record.meta.key))
        arguments += (write.base, value)
        nbytes += len(value)
        if len(keys) == _CALL_ROWS or nbytes >= _CALL_BYTES:
            yield STEP.call(keys, arguments, len(keys))
            keys, arguments, nbytes = [], [], 0
    if keys:
        yield STEP.call(keys, arguments, len(keys))

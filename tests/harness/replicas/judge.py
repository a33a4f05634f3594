"""Judges finished histories beside the load, in a process of its own."""

import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

from tests.harness.chaos.truth import Violation
from tests.harness.histories import Operation
from tests.harness.linearizability import Undecided, check
from tests.harness.replicas.session import Session
from tests.harness.replicas.tally import Tally

_MAX_LINE = 240


class Judge:
    """A context: its process ends with it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        # Not forked: the harness has threads.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context)

    def __repr__(self) -> str:
        return f"<Judge checked={self._tally.checked}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def judge(self, session: Session) -> None:
        """Raise Violation unless an atomic session could have answered so."""
        history = sorted(session.history, key=lambda each: each.invoked_at)
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self._pool, judgement, history)
        self._tally.checked += 1
        if text is None:
            self._tally.undecided += 1
        elif text:
            lines = "\n  ".join(str(each)[:_MAX_LINE] for each in history)
            raise Violation(f"session {session.id}: {text}\nits history:\n  {lines}")


def judgement(history: Sequence[Operation]) -> str | None:
    """What is wrong with a history, "" if nothing is; None if that takes too long to find out."""
    try:
        verdict = check(history)
    except Undecided:
        return None
    return "" if verdict.is_linearizable else verdict.text

"""The engine's thread: forms batches, has them executed, and says what is finished."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from carousel.service.engine.core import Core
from carousel.service.engine.lanes import Lanes
from carousel.service.engine.request import Request
from carousel.service.engine.run import Run

log = logging.getLogger("carousel.engine")


class Runner:
    """Owns the core from `start` to `stop`. Requests come through its inbox, from the event loop,
    and runs that have been executed, from lanes.

    `finished` is called on this thread, with requests that are done or will not run; `failed`
    when it ends because something is broken.
    """

    def __init__(
        self,
        name: str,
        core: Core,
        finished: Callable[[list[Request]], None],
        failed: Callable[[], None],
    ) -> None:
        self._name = name
        self._core = core
        self._finished = finished
        self._failed = failed
        self._inbox: SimpleQueue[list[Request] | Run | None] = SimpleQueue()
        self._lanes = Lanes(core.scheduler.pace.lanes, core.execute, self._inbox.put)
        self._num_running = 0  # on lanes
        self._has_nothing_to_do = True
        self._thread = threading.Thread(target=self._serve, name=f"engine {name}", daemon=True)

    def __repr__(self) -> str:
        return f"<Runner {self._name} running={self._num_running} {self._lanes!r}>"

    def start(self) -> None:
        """Start the thread and its lanes; called once."""
        self._thread.start()
        self._lanes.start(f"lane of {self._name}")

    def put(self, requests: list[Request]) -> None:
        """Requests to run; from any thread."""
        self._inbox.put(requests)

    def stop(self) -> None:
        """End the thread, and wait for that; nothing is under way any more."""
        self._inbox.put(None)
        self._thread.join()

    def _serve(self) -> None:
        """The engine's thread: take what is there, end what has run, begin what may."""
        try:
            while self._take():
                self._begin_runs()
        except Exception:
            log.exception("the engine of %s failed and is out of service", self._name)
            self._failed()
        self._lanes.stop()

    def _take(self) -> bool:
        """Everything in the inbox; waits only when there is nothing else to do. False: the end."""
        arrived: list[Request] = []
        executed: list[Run] = []
        wait = self._has_nothing_to_do
        try:
            while True:
                message = self._inbox.get(block=wait)
                if message is None:
                    return False
                if isinstance(message, Run):
                    executed.append(message)
                else:
                    arrived += message
                wait = False
        except Empty:
            pass
        self._core.scheduler.add(arrived)
        self._num_running -= len(executed)
        for run in executed:
            self._finished(self._core.end(run))
        return True

    def _begin_runs(self) -> None:
        """Put runs onto the lanes that are free; a short one is run here, and what has come in
        meanwhile is looked at before the next.
        """
        core = self._core
        self._has_nothing_to_do = True
        while self._num_running < core.scheduler.pace.num_runs:
            run, dropped = core.begin()
            if dropped:
                self._finished(dropped)
            if run is None and dropped:
                continue
            if run is None:
                return
            if core.is_long(run):
                self._num_running += 1
                self._lanes.put(run)
            else:
                core.execute(run)
                self._finished(core.end(run))
                self._has_nothing_to_do = False
                return

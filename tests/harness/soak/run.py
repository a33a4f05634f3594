"""`Run`: a service, clients that churn, and a sample of its memory now and then."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.harness.fuzz.watcher import resident_mb
from tests.harness.live import Live
from tests.harness.soak.churn import Churn
from tests.harness.soak.memory import Sample, slope_mb_per_hour
from tests.harness.soak.progress import Progress
from tests.harness.witness import export_witness

# What is kept of a session that nobody ends is kept for a minute, and a minute more.
_SETTINGS = ("--no-print-curl", "--ttl-s", "60", "--tombstone-s", "60")
_SAMPLE_S = 5.0
_REPORT_S = 60.0
_STATUSES_RIGHT = ("1", "2", "4")


class Run:
    """Goes on until `progress` has `goal_s` seconds, or `stopped` is set; `acts_per_s` of all
    clients together.
    """

    def __init__(
        self,
        progress: Progress,
        folder: Path,
        goal_s: float,
        warm_up_s: float,
        num_clients: int,
        acts_per_s: float,
    ) -> None:
        self._progress = progress
        self._folder = folder
        self._goal_s = goal_s
        self._warm_up_s = warm_up_s
        self._num_clients = num_clients
        self._pause_s = num_clients / acts_per_s
        self.stopped = False

    def __repr__(self) -> str:
        return f"<Run {self._progress.seconds:.0f} of {self._goal_s:.0f} s>"

    @property
    def is_done(self) -> bool:
        """Whether the goal is reached."""
        return self._progress.seconds >= self._goal_s

    async def go(self, store: str, say: Callable[[str], None]) -> None:
        """One part: with a service of its own, whose memory starts again."""
        export_witness(self._folder / "repository")
        progress = self._progress
        samples: list[Sample] = []
        progress.parts.append(samples)
        with Live(self._folder / "repository", *_SETTINGS, "--store", store) as live:
            seeds = (
                progress.seed + 1000 * len(progress.parts) + i for i in range(self._num_clients)
            )
            clients = [Churn(live.url, seed, progress.counts) for seed in seeds]
            tasks = [asyncio.create_task(self._churn(each)) for each in clients]
            try:
                await self._sample(live, samples, tasks, say)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for client in clients:
                    await client.close()
            wrong = [each for each in live.logs if " level=error " in each or "Traceback" in each]
            progress.findings += [f"log: {each[:400]}" for each in wrong[:5]]
        progress.findings += [
            f"{number} answers of {status}"
            for status, number in progress.counts.items()
            if status.isdigit() and not status.startswith(_STATUSES_RIGHT) and status != "503"
        ]
        progress.save(self._folder)

    async def _churn(self, client: Churn) -> None:
        # At one pace throughout: what is kept for a time by contract is then as much throughout.
        while True:
            began = time.monotonic()
            await client.act()
            await asyncio.sleep(max(0.0, began + self._pause_s - time.monotonic()))

    async def _sample(
        self,
        live: Live,
        samples: list[Sample],
        tasks: list[asyncio.Task[None]],
        say: Callable[[str], None],
    ) -> None:
        began = last = reported = time.monotonic()
        while not self.stopped and not self.is_done:
            await asyncio.wait(tasks, timeout=_SAMPLE_S, return_when=asyncio.FIRST_EXCEPTION)
            for each in tasks:
                if each.done():
                    each.result()
            now = time.monotonic()
            self._progress.seconds += now - last
            last = now
            samples.append(Sample(now - began, resident_mb(live.pid), self._file_mb(live)))
            if now - reported >= _REPORT_S:
                reported = now
                self._progress.save(self._folder)
                slope = slope_mb_per_hour(samples, self._warm_up_s)
                told = "warming up" if slope is None else f"{slope:+.2f} MB an hour"
                say(f"{self._progress.seconds:.0f} s: {samples[-1].rss_mb:.1f} MB, {told}, "
                    f"file {samples[-1].file_mb:.1f} MB, {self._progress.counts.total()} acts and "
                    "answers")  # fmt: skip

    def _file_mb(self, live: Live) -> float:
        found = 0
        with suppress(OSError):
            found = sum(each.stat().st_size for each in live.data_folder.iterdir())
        return found / 1e6

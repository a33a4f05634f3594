"""The benchmark: finds the model, opens sessions, makes the load, deletes the sessions.

Unless one loop is asked for it is a tour: one session alone, which shows what a request takes; all
sessions as fast as they can, which shows how much there is to have; and the knee, for which open
loops are tried around that.
"""

import math
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from carousel_bench.failure import Failure
from carousel_bench.knee import Search
from carousel_bench.load.crew import Crew, Measured
from carousel_bench.load.phase import Phase
from carousel_bench.load.work import Job, Seat
from carousel_bench.progress import Progress
from carousel_bench.run import Knee, Run
from carousel_bench.server import Server
from carousel_bench.settings import BULK, SEQUENCE, STEP, STREAM, Settings
from carousel_bench.tally import Tally, total
from carousel_bench.target import Target, choose
from carousel_bench.words import number, plural

# What a p99 is held to unless something else is said: what people do not notice yet, or this many
# times what a session alone has.
P99_MS = 50.0
_P99_TIMES = 5
_GUESS = 0.8
_PROBE_S = 0.3
_MOST_PROCESSES = 4


@dataclass(slots=True)
class Result:
    """What came of it, as far as it went. `probe`: what was sent before the runs."""

    settings: Settings
    started_at: float = field(default_factory=time.time)
    server_version: str | None = None
    target: Target | None = None
    job: Job | None = None
    num_processes: int = 0
    probe: Tally = field(default_factory=Tally)
    runs: list[Run] = field(default_factory=list)
    knee: Knee | None = None


class Bench:
    """One benchmark; `result` is there also where it was ended early."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.result = Result(settings)
        self._settings = settings
        self._progress = progress
        self._seed = settings.seed
        self._crew: Crew
        self._seats: tuple[Seat, ...] = ()

    def __repr__(self) -> str:
        return f"<Bench {self._settings.url} runs={len(self.result.runs)}>"

    def run(self) -> Result:
        """All of it; raises Failure."""
        server = Server(self._settings.url, self._settings.api_key)
        try:
            job = self._prepare(server)
            num = min(self._settings.processes or _default_processes(), self._settings.sessions)
            self.result.num_processes = num
            with self._sessions(server, job), Crew(job, num) as self._crew:
                self._probe(job)
                self._measure()
        finally:
            server.close()
        sent = total(tally for run in self.result.runs for tally in run.measured.tallies.values())
        if not sent.done:
            failed = (sent.refused + sent.errors).total()
            why = "was answered with success" if failed else "was due: --seconds takes more"
            raise Failure(f"not one request {why}")
        return self.result

    def _prepare(self, server: Server) -> Job:
        settings, result = self._settings, self.result
        with_sessions = set(settings.mix) != {SEQUENCE}
        target = choose(server.models(), settings.model, with_sessions=with_sessions)
        result.target, result.server_version = target, server.version()
        mix = settings.mix or target.mix()
        if not target.has_sessions and mix.keys() - {SEQUENCE}:
            why = target.model.streaming_reason or "it takes whole sequences"
            raise Failure(f"{target.model.name} has no sessions ({why}): use --mix sequence")
        job = Job(
            url=server.endpoint.url,
            api_key=settings.api_key,
            target=target,
            kinds=tuple(mix),
            weights=tuple(mix.values()),
            is_json=settings.is_json,
            steps=target.num_steps(settings.steps),
            length=target.num_steps(settings.length),
            rows=settings.rows,
        )
        result.job = job
        chosen = "" if settings.model else " (the first that fits; --model takes another)"
        what = ", ".join(f"{each} of {plural(job.num_steps(each), 'time step')}" for each in mix)
        self._progress.say(f"{settings.url}: {target.model.name}{chosen}; {what}")
        return job

    @contextmanager
    def _sessions(self, server: Server, job: Job) -> Iterator[None]:
        settings = self._settings
        prefix = f"bench-{secrets.token_hex(8)}"
        self._seats = tuple(_seat(f"{prefix}-{n}", job) for n in range(settings.sessions))
        ids = _ids(self._seats, job.kinds)
        ttl_s = settings.ttl_s
        state = {} if not ids else job.target.state_for_json(settings.seed)
        try:
            for num_open in server.open(job.target.model.name, ids, state, ttl_s):
                self._progress.status(f"{number(num_open)} of {number(len(ids))} sessions are open")
            yield
        finally:
            self._delete(server, ids, ttl_s)

    def _delete(self, server: Server, ids: Sequence[str], ttl_s: int) -> None:
        if not ids:
            return
        many = plural(len(ids), "session")
        left = f"not all of {many} are deleted; they end by themselves {number(ttl_s)} s after use"
        self._progress.status(f"deleting {many}; Ctrl-C leaves them")
        try:
            server.delete(ids)
        except Failure as failure:
            self._progress.say(f"{left} ({failure})")
        except KeyboardInterrupt:
            self._progress.say(left)
            raise
        self._progress.clear()

    def _probe(self, job: Job) -> None:
        """Some requests of each kind: what the server refuses of them, it refuses always."""
        measured = Measured(Phase(self._seats[:1], None, 0.0, _PROBE_S, self._next_seed()))
        self._crew.run(measured, lambda: None)
        found = self.result.probe = total(measured.tallies.values())
        for word, count in found.refused.most_common(1):
            raise Failure(
                f"the server refuses what it is sent: {word}, {found.details.get(word, count)}"
            )
        for why in found.errors:
            raise Failure(f"{job.url}: {why}")

    def _measure(self) -> None:
        settings = self._settings
        num = settings.sessions
        if settings.rates:
            for rate in settings.rates:
                self._phase(num, rate, settings.seconds)
            return
        if settings.closed_only:
            self._phase(num, None, settings.seconds)
            return
        alone = self._phase(1, None, max(1, settings.seconds // 2))
        full = alone if num == 1 else self._phase(num, None, settings.seconds)
        self._find_knee(alone, full)

    def _find_knee(self, alone: Run, full: Run) -> None:
        p99_s = alone.window.latency.percentile(99)
        p99_ms = self._settings.p99_ms
        if p99_ms is None:
            p99_ms = max(P99_MS, float(math.ceil(_P99_TIMES * 1000 * (p99_s or 0.0))))
        self._progress.say(f"the knee: what rate keeps p99 under {p99_ms:,.0f} ms, with no refusal")
        guess = max(full.window.done / max(full.seconds, 1) * _GUESS, 0.1)
        search, tried, above = Search(guess), [], None
        while (rate := search.next()) is not None:
            run = self._phase(
                self._settings.sessions, rate, max(1, self._settings.seconds // 2), p99_ms
            )
            tried.append(rate)
            shortfall = run.shortfall(p99_ms)
            search.tell(rate, held=shortfall is None)
            if shortfall is not None and rate == search.high:
                above = run
        self.result.knee = Knee(
            search.low,
            p99_ms,
            tuple(tried),
            None if above is None else above.shortfall(p99_ms),
            above is not None and above.is_generator_limited,
        )

    def _phase(
        self, num_sessions: int, rate: float | None, seconds: int, p99_ms: float | None = None
    ) -> Run:
        name = (
            f"closed, {plural(num_sessions, 'session')}"
            if rate is None
            else f"open, {number(rate)}/s"
        )
        phase = Phase(
            self._seats[:num_sessions], rate, self._settings.warmup_s, seconds, self._next_seed()
        )
        run = Run(name, Measured(phase))
        self.result.runs.append(run)
        self._crew.run(run.measured, lambda: self._progress.look(name, run.measured))
        self._progress.say(f"  {name}: {run.told(p99_ms)}")
        if run.measured.is_gone:
            raise Failure("the server went away while it was measured")
        return run

    def _next_seed(self) -> int:
        self._seed += 1000
        return self._seed


def _default_processes() -> int:
    """Half of the cores: the server may be on this machine, and needs some too."""
    return max(1, min(_MOST_PROCESSES, (os.cpu_count() or 1) // 2))


def _seat(name: str, job: Job) -> Seat:
    rows = job.rows if BULK in job.kinds else 0
    return Seat(f"{name}.step", f"{name}.stream", tuple(f"{name}.{row}" for row in range(rows)))


def _ids(seats: Sequence[Seat], kinds: Sequence[str]) -> list[str]:
    return [
        session_id
        for seat in seats
        for session_id in (
            *((seat.step,) if STEP in kinds else ()),
            *((seat.stream,) if STREAM in kinds else ()),
            *seat.bulk,
        )
    ]

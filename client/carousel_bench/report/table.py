"""The report for people: a table, and what has to be said of its numbers."""

from collections.abc import Iterator, Sequence

from carousel_bench.bench import Result
from carousel_bench.run import Knee, Run
from carousel_bench.tally import Count, Tally
from carousel_bench.words import milliseconds, number, plural

_PERCENTS = (50.0, 90.0, 99.0, 99.9)
_HEAD = (
    "", "requests/s", "steps/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "delayed",
    "unsent", "refused", "errors",
)  # fmt: skip


def table(result: Result) -> str:
    """The rows in columns, and the notes below."""
    cells = rows(result)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            each.rjust(width) if at else each.ljust(width)
            for at, (each, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(["", *lines, "", *notes(result)]) + "\n"


def rows(result: Result) -> list[tuple[str, ...]]:
    """The head, all runs, a row each, and below it one for each kind of a mix."""
    return [_HEAD, *(line for run in in_order(result) for line in _lines(run))]


def in_order(result: Result) -> list[Run]:
    """The runs as they are shown: closed loops, and open ones by their rate."""
    return sorted(result.runs, key=lambda each: each.rate or 0.0)


def notes(result: Result) -> list[str]:
    """The knee in a sentence, and what limits the meaning of the numbers."""
    found = [] if result.knee is None else [knee_told(result.knee)]
    for run in in_order(result):
        found += [f"{run.name}: {each}" for each in _notes(run)]
    limited = [each for each in in_order(result) if each.is_generator_limited]
    if limited:
        where = "; ".join(f"{each.name}: {_own_limit(each)}" for each in limited)
        found.append(
            f"The load generator was at its own limit ({where}): these numbers may be its and not "
            f"the server's. It had {plural(result.num_processes, 'process', 'es')}; "
            f"try --processes {result.num_processes * 2}, or a machine of its own."
        )
    return found


def knee_told(knee: Knee) -> str:
    """The knee in a sentence."""
    if knee.rate is None:
        lowest = number(min(knee.tried))
        return (
            f"No knee: not even {lowest} requests/s were held with p99 under {knee.p99_ms:,.0f} ms "
            f"({knee.above}); --p99 allows more."
        )
    held = f"{number(knee.rate)} requests/s with p99 under {knee.p99_ms:,.0f} ms and no refusal"
    if knee.above is None:
        return f"The knee is at {held} or more: no rate that was tried was too high."
    if knee.is_generator:
        return f"The server holds {held}; whether it holds more, this load generator cannot say."
    return f"The knee: {held}. Above that: {knee.above}."


def _lines(run: Run) -> Iterator[tuple[str, ...]]:
    tally, seconds = run.window, max(run.seconds, 1)
    whole = Count(tally.done, tally.steps, tally.latency, tally.refused, tally.errors)
    sent = (number(tally.queued + tally.late), number(tally.unsent))
    yield _line(run.name, whole, seconds, *sent, is_least=_is_least(tally))
    if len(tally.kinds) > 1:
        for kind, count in sorted(tally.kinds.items()):
            yield _line(f"  {kind}", count, seconds, is_least=_is_least(tally))


def _line(
    name: str,
    count: Count,
    seconds: int,
    delayed: str = "",
    unsent: str = "",
    *,
    is_least: bool,
) -> tuple[str, ...]:
    sign = ">" if is_least else ""
    times = [count.latency.percentile(each) for each in (*_PERCENTS, 100)]
    return (
        name,
        number(count.done / seconds),
        number(count.steps / seconds),
        *("-" if each is None else f"{sign}{milliseconds(each)}" for each in times),
        delayed,
        unsent,
        number(count.refused.total()),
        number(count.errors.total()),
    )


def _is_least(tally: Tally) -> bool:
    """Whether requests are in it that were given up, with what they had waited till then."""
    return tally.unsent > 0 or tally.errors["no answer in time"] > 0


def _own_limit(run: Run) -> str:
    """What a load process had to do, and what it did not do in time."""
    share = max(run.measured.cpu_shares, default=0.0)
    return f"{share:.0%} of a core, {run.window.late:,} sent late"


def _notes(run: Run) -> Iterator[str]:
    tally = run.window
    if not run.measured.is_whole:
        yield f"ended early, after {run.seconds} of {run.measured.phase.seconds:.0f} s"
    if tally.unsent:
        yield (
            f"{tally.unsent:,} requests were due and not sent till a second after the end, because "
            "every session waited for a reply; they count with how long they had waited"
        )
    elif not tally.done and run.measured.is_whole:
        yield "no reply came while it was measured: --seconds takes more"
    yield from _failures("refused", tally.refused.most_common(), tally)
    yield from _failures("failed", tally.errors.most_common(), tally)


def _failures(verb: str, words: Sequence[tuple[str, int]], tally: Tally) -> Iterator[str]:
    for word, count in words:
        detail = tally.details.get(word)
        yield f"{count:,} {verb}: {word}" + (f", {detail}" if detail else "")

"""The report as one HTML page: no script, nothing from elsewhere, for light and dark."""

from collections.abc import Iterator
from html import escape

from carousel_bench.bench import Result
from carousel_bench.report.plot import Line, Plot, Point
from carousel_bench.report.table import in_order, notes, rows
from carousel_bench.run import Run

_PERCENTS = (50.0, 90.0, 99.0, 99.9, 100.0)
_WORDS = ("p50", "p90", "p99", "p99.9", "max")
_MOST_LINES = 6
_STYLE = """\
:root { color-scheme: light dark; --ink: #1d2026; --paper: #fff; --grid: #dfe2e8;
  --c0: #0067a8; --c1: #b85c00; --c2: #00795a; --c3: #a8378f; --c4: #5b50c8; --c5: #7a6a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ee; --paper: #15171c; --grid: #363a44;
  --c0: #5fb4f0; --c1: #ffa04d; --c2: #4fd0a5; --c3: #f08ad8; --c4: #a9a1ff; --c5: #d9c84a; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid var(--grid);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: pre; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--ink); }
.grid { stroke: var(--grid); } .limit { stroke: var(--ink); stroke-dasharray: 6 4; }
.line { fill: none; stroke-width: 2; } circle.line { fill: currentColor; }
circle.bad { fill: var(--paper); }
"""
# Colours alone tell nothing to those who do not see them.
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "4 4", "12 4")
_LINES = "".join(
    f".line{at} {{ stroke: var(--c{at}); color: var(--c{at}); }}\n"
    f"polyline.line{at}, path.line{at} {{ stroke-dasharray: {dash}; }}\n"
    for at, dash in enumerate(_DASHES)
)


def page(result: Result) -> str:
    """All of it, as UTF-8."""
    return "\n".join(_page(result)) + "\n"


def _page(result: Result) -> Iterator[str]:
    model = "" if result.target is None else result.target.model.name
    title = f"carousel-bench: {model} at {result.settings.url}"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>\n{_STYLE}{_LINES}</style>\n</head>\n<body>"
    yield f"<h1>{escape(title)}</h1>"
    for note in notes(result):
        yield f"<p>{escape(note)}</p>"
    yield from _table(result)
    shown = _shown(result)
    yield "<h2>How long requests took</h2>"
    yield Plot("Latency percentiles", "percentile", "ms", [_percentiles(each) for each in shown],
               is_log=True, x_words=_WORDS).svg()  # fmt: skip
    yield "<h2>Requests done, second by second</h2>"
    yield Plot("Requests a second", "second", "requests/s", [_series(each) for each in shown]).svg()
    if result.knee is not None:
        yield from _knee(result)
    yield f"<h2>Settings</h2>\n<p>{escape(_settings(result))}</p>\n</body>\n</html>"


def _table(result: Result) -> Iterator[str]:
    head, *lines = rows(result)
    yield '<div class="wide"><table>'
    yield "<tr>" + "".join(f"<th>{escape(each)}</th>" for each in head) + "</tr>"
    for line in lines:
        yield "<tr>" + "".join(f"<td>{escape(each)}</td>" for each in line) + "</tr>"
    yield "</table></div>"


def _knee(result: Result) -> Iterator[str]:
    knee = result.knee
    assert knee is not None
    lines = []
    for percent in (50.0, 99.0):
        points = [
            Point(each.rate, 1000 * value, each.shortfall(knee.p99_ms) is not None)
            for each in in_order(result)
            if each.rate is not None
            and (value := each.window.latency.percentile(percent)) is not None
        ]
        lines.append(Line(f"p{percent:g}", points))
    yield "<h2>The knee</h2>"
    yield "<p>A hollow point is a rate that was not held; the dashed line is the p99 asked for.</p>"
    yield Plot(
        "Latency over rate", "requests/s due", "ms", lines, is_log=True, limit=knee.p99_ms
    ).svg()


def _shown(result: Result) -> list[Run]:
    """Those that fit into a plot: closed loops, and of open ones the knee's, or all where no knee
    was looked for.
    """
    knee = result.knee
    kept = [
        each
        for each in in_order(result)
        if each.rate is None or knee is None or each.rate == knee.rate
    ]
    return kept[:_MOST_LINES]


def _percentiles(run: Run) -> Line:
    values = [run.window.latency.percentile(each) for each in _PERCENTS]
    return Line(
        run.name, [Point(at, 1000 * each) for at, each in enumerate(values) if each is not None]
    )


def _series(run: Run) -> Line:
    tallies = run.measured.tallies
    points = [
        Point(second, float(tallies[second].done if second in tallies else 0))
        for second in range(run.seconds)
    ]
    return Line(run.name, points)


def _settings(result: Result) -> str:
    shown = {name: value for name, value in result.settings.shown().items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in shown.items())

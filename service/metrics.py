"""/metrics: figures that others count, in Prometheus' text format.

Whoever counts keeps plain numbers and gives `Metrics` a function that reads them into families of
prometheus_client; nothing here is touched by a request.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Read = Callable[[], Iterable[Metric]]
Values = Mapping[tuple[str, ...], float]


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)

    def __repr__(self) -> str:
        return "<Metrics>"

    def add(self, read: Read) -> None:
        """Show what `read` gives, whenever the figures are asked for."""
        self._registry.register(_Reader(read))

    def render(self) -> bytes:
        """The figures as Prometheus reads them."""
        return generate_latest(self._registry)


class _Reader(Collector):
    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()


def counter(name: str, meaning: str, labels: Sequence[str], values: Values) -> Metric:
    """What only grows: a value for each combination of label values."""
    return _filled(CounterMetricFamily(name, meaning, labels=labels), values)


def gauge(name: str, meaning: str, labels: Sequence[str], values: Values) -> Metric:
    """What goes up and down."""
    return _filled(GaugeMetricFamily(name, meaning, labels=labels), values)


def histogram(
    name: str,
    meaning: str,
    label: str,
    bounds_s: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    totals_s: Mapping[str, float],
) -> Metric:
    """Counts between upper bounds in seconds; `counts` has one more, for what is above all."""
    family = HistogramMetricFamily(name, meaning, labels=[label])
    for value, between in counts.items():
        below, buckets = 0, []
        for bound, count in zip([*map(str, bounds_s), "+Inf"], between, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric([value], buckets=buckets, sum_value=totals_s[value])
    return family


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Values) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family

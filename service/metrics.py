"""/metrics: figures that others count, in Prometheus' text format.

Whoever counts keeps plain numbers and gives `Metrics` a function that reads them; nothing here is
touched by a request.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Figure:
    """A counter or gauge: a value for each combination of label values."""

    name: str
    meaning: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between upper bounds in seconds; `counts` has one more, for what is above all."""

    name: str
    meaning: str
    label: str
    bounds_s: Sequence[float]
    counts: Mapping[str, Sequence[int]]
    totals_s: Mapping[str, float]


Read = Callable[[], Iterable[Figure | Histogram]]


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

    def collect(self) -> Iterator[Metric]:
        for each in self._read():
            yield _histogram(each) if isinstance(each, Histogram) else _figure(each)


def _figure(figure: Figure) -> Metric:
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = kind(figure.name, figure.meaning, labels=figure.labels)
    for labels, value in figure.values.items():
        family.add_metric(labels, value)
    return family


def _histogram(histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.meaning, labels=[histogram.label])
    for label, counts in histogram.counts.items():
        below, buckets = 0, []
        bounds = [*(str(bound) for bound in histogram.bounds_s), "+Inf"]
        for bound, count in zip(bounds, counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric([label], buckets=buckets, sum_value=histogram.totals_s[label])
    return family

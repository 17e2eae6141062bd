"""Metric families for Prometheus."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

METRIC_PREFIX = "marianne_stream"


def make_gauge(name: str, help_text: str, value: float) -> Metric:
    """Make a gauge."""
    return GaugeMetricFamily(f"{METRIC_PREFIX}_{name}", help_text, value)


def make_counter(name: str, help_text: str, value: float) -> Metric:
    """Make a counter."""
    return CounterMetricFamily(f"{METRIC_PREFIX}_{name}", help_text, value)


def make_labelled_gauge(
    name: str, help_text: str, label: str, values: Mapping[str, float]
) -> Metric:
    """Make a gauge with one label."""
    family = GaugeMetricFamily(f"{METRIC_PREFIX}_{name}", help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def make_labelled_counter(
    name: str, help_text: str, label: str, values: Mapping[str, float]
) -> Metric:
    """Make a counter with one label."""
    family = CounterMetricFamily(f"{METRIC_PREFIX}_{name}", help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family

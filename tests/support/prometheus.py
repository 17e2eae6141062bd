"""Metrics of a response of /metrics, and those of the reference."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

# Type and label names of each metric.
Metrics = dict[str, tuple[str, frozenset[str]]]


def parse_samples(text: str) -> dict[str, float]:
    """Return the value of each sample by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def metrics(text: str) -> Metrics:
    """Return the metrics of a response, without `_created` times."""
    found = {}
    for family in text_string_to_metric_families(text):
        if not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels}
            found[name] = (family.type, frozenset(labels - {"le"}))
    return found


def documented_metrics() -> Metrics:
    """Return the metrics of the reference."""
    rows = re.findall(
        r"^\| `(marianne_stream_\w+)` \| (\w+) \|(.*?)\| \S", REFERENCE.read_text(), re.MULTILINE
    )
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

"""Measurements behind docs/performance.md; README.md lists the cases."""

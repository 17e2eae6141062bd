"""Mechanisms that several packages share: backoff, warnings, task sets, intervals, exit codes."""

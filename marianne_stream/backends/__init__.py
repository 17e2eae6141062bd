"""Backends: where the state of jobs is read."""

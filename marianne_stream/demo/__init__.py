"""Simulated conductor, for the demo and for tests: its jobs run, write logs and emit events."""

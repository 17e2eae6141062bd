"""Checks of the `check` command."""

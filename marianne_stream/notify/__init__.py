"""Notifications: rules, messages, and the outbox in the history that they wait in."""

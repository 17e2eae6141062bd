"""Feeds: the frames of one client, from its cursor through the handover to the live end."""

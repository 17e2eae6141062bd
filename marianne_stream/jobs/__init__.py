"""Jobs: the hub, watchers, the roster poller, and encoded snapshots."""

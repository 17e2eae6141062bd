"""Topics, subscriber queues, and the replay buffer of events."""

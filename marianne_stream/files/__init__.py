"""Files of a job's workspace."""

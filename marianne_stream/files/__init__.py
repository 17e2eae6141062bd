"""Files of a job's workspace: rules, list, and the paths that the log engine reads."""

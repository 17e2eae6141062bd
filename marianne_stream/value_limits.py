"""Limits of the values that the packages exchange.

The decoders of an origin keep them, and an edge refuses values above them.
"""

# The largest integer that JSON, JavaScript and SQLite hold exactly (RFC 8259 section 6).
MAX_COUNT = 2**53 - 1

# The year 10000 in epoch seconds, which ISO 8601 cannot express.
LATEST_EPOCH_S = 253_402_300_800.0

# The time between two times.
MAX_DURATION_S = LATEST_EPOCH_S

# Statuses and versions.
MAX_LABEL_CHARS = 100

# Names, and times as text.
MAX_NAME_CHARS = 1_000

# Texts of an error or a hook that are sent with each state, and errors in lists.
MAX_ERROR_CHARS = 300

MAX_HOOKS = 100
MAX_RATE_LIMITS = 20

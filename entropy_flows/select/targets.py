"""The targets that have a name; any other is a file."""

PLAIN = "plain"
"""The snapshots of a campaign's dynamics at k = 0."""
POOL = "pool"
"""The candidates themselves."""

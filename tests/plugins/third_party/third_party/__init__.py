"""A user's own package: a plug-in of each kind, one a file."""

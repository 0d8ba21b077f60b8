"""A read-only web page over a database of campaigns (extra `web`)."""

"""The app: a page and an HTTP API over the same work, for several people at once."""

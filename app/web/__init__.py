"""Our own page: a client of the public API, which the service serves itself."""

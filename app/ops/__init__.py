"""Running it: start, health, command line."""

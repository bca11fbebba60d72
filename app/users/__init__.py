"""People: profiles."""

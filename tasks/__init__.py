"""Maintenance that the service does by itself: what, when, and the guarantee of once per slot."""

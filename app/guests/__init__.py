"""Guests: who takes part in a room without an account."""

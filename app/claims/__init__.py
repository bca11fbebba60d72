"""Wins that have to be claimed: confirmed, declined, or not claimed in time."""

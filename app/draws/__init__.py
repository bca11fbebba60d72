"""Draws that anyone can check: announced, closed, drawn, and recomputed by outsiders."""

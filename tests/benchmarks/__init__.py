"""Measurements, run by hand: no test collects them."""

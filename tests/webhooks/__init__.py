"""Tests of what apps are told."""

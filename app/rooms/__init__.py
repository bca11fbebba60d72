"""Rooms: an event, its app, its settings and its life."""

"""Who is in a room, and as what."""

"""Quiz rounds: questions that are asked in a room, and who is first."""

"""What can be won in a room."""

"""Ways into a room for those who are let in from outside."""

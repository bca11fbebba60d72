"""What happens in rooms, told in one order to everyone who may hear it."""

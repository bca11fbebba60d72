"""Live events over Socket.IO, for clients that exist."""

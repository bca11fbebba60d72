"""Who is calling: tokens, sessions, guards."""

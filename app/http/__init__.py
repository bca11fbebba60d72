"""What HTTP is made of here: envelopes, errors, bodies, preconditions, pages, their description."""

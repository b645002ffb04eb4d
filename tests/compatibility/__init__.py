"""The released version and this one, on one log: what either writes the other goes on with."""

"""Commands of rules and projections; they join the command line by their manifest."""

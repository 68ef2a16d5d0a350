"""Define specs, states, plans and results, without a database."""

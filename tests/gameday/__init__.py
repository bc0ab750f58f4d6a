"""A game day: something breaks, people find out what from what an operator sees, and mend it."""

"""Named attacks on real processes and servers, and their results."""

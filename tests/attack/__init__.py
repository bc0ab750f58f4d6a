"""Named attacks on real processes and servers, and what they come to."""

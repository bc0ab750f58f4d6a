"""`make demo`: the whole way of 600,000 readings on real servers, checked at the end."""

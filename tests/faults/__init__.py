"""The fault bench: every fault that Wattline survives, on real servers, checked by value."""

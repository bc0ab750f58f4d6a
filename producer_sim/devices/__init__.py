"""What is sent: a world, the fleet that lives in it, its messages, faults on purpose. Pure."""

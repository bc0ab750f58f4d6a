"""What is sent, before anything is: the world, a fleet that lives in it, its messages, faults on purpose. Pure."""

"""What runs Wattline: the local stack, and the files of the container images."""

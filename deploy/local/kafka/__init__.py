"""One Kafka node as a process: its jars, its Java, its configuration. Read node first."""

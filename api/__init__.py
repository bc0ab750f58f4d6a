"""The HTTP gateway and the answers: readings in through Kafka, energy out of PostgreSQL."""

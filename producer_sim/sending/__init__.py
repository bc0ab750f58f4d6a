"""The way to Kafka: the pace, the producer, and a clean stop."""

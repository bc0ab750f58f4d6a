"""From records to Kafka: the loop (`transmit`), its pace, the producer, and a clean stop."""

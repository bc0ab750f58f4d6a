"""`python -m tests.acceptance.own_broker.attentive run`: the service, quick to see what is amiss.

It asks for Kafka's metadata twice a second, where the service does so every ten seconds, and waits
three seconds for where the logs end, not ten.
"""

from consumer.__main__ import main
from consumer.kafka import client, ends

if __name__ == "__main__":
    client._METADATA_MAX_AGE_MS = 500
    ends._PATIENCE_S = 3.0
    main()

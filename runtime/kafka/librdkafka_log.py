"""The logger for librdkafka's clients: it drops their lines, of which there is one each second.

What uses a client says how Kafka is, once for each change.
"""

import logging

SILENT = logging.getLogger("librdkafka")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

#!/usr/bin/env python3
# Asks the broker for the versions of its API, as Kafka's tool of this name does, but without a JVM:
# the tool is not among the locked jars, and every check of the broker's health starts it.
import socket
import struct
import sys

API_VERSIONS, VERSION, CORRELATION, NO_CLIENT = 18, 0, 1, -1

host, _, port = sys.argv[sys.argv.index("--bootstrap-server") + 1].rpartition(":")
request = struct.pack(">hhih", API_VERSIONS, VERSION, CORRELATION, NO_CLIENT)
with socket.create_connection((host, int(port)), 5) as broker:
    broker.sendall(struct.pack(">i", len(request)) + request)
    answer = broker.recv(10, socket.MSG_WAITALL)
_, correlation, error = struct.unpack(">iih", answer)
sys.exit(correlation != CORRELATION or error != 0)

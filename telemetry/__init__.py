"""The contract that producers and consumers share: readings, topics, reason codes.

Imports neither side; both sides, and the gateway, import it.
"""

"""The contract that producers and consumers share: readings, topics, reason codes. All pure.

Read readings first, then streams, then decode.
"""

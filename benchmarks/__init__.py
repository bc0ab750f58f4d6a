"""Programs that measure, one question a file, on real servers: `make bench` and its sisters.

Read `drain.py` first. `history.py` keeps what was measured; nothing here asserts a speed.
"""

"""The messages that tests send: good ones, every bad one that we know, and mutants of both.

Read `readings` first, then `poison`. The simulator spoils messages of its own (`producer_sim`).
"""

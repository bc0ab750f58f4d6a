"""Simulated devices and their messages, with faults on purpose. Pure.

Read `world` (who charges where), `fleet` (physics), `registers`, `messages`, then `chaos`.
"""

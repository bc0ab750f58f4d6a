"""Devices that behave as real ones do. Pure functions of the seed, the device and the time.

Read `charges` first (what flows), then `device` (what is sent of it), the quirks, and `pairs`.
"""

"""The commands of operators: one file for each noun, and one for each verb of many lines.

Read `terminal` and `servers` first: all commands share them.
"""

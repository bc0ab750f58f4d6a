"""The bodies that are taken and sent, in camelCase; the examples of their fields are the API's.

Read `bodies` first: what all of them share.
"""

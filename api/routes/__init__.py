"""The paths of the API, one noun a file: parse, ask a query, return a model.

A docstring of a route is its description in /openapi.json.
"""

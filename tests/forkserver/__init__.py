"""Real processes of our programs that start fast: each is forked from one that has the imports.

`client` is what the tests' conftest installs; `__main__` is the process that forks.
"""

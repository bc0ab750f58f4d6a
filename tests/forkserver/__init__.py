"""Real processes of our programs without their imports: each is forked off one that has them.

`client` is what the tests' conftest installs; `__main__` is the process that forks.
"""

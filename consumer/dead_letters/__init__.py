"""Dead letters: the messages that are not readings, kept with their original bytes.

`rows` writes them in a flush, `table` finds them for operators, `redrive` sends them once more.
"""

"""What a command sends: a fleet's plan (`plan`) and its records (`load`), or a `recording`.

`enrolment` tells an API about a fleet's devices before the run, and about its sessions after it.
"""

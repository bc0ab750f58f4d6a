"""`python -m tests.faults.armed run`: the service, watched, with a trap where one is asked for."""

import os
from pathlib import Path

from consumer.__main__ import main
from tests.faults.failpoints import Trap, arm
from tests.faults.witness import testify

if __name__ == "__main__":
    if trap := Trap.from_environment():
        arm(trap)
    testify(Path(os.environ["WITNESS"]))
    main()

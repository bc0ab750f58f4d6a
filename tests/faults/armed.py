"""`python -m tests.faults.armed run`: the service, watched, with a trap where one is asked for.

FAILPOINT arms it from the start. On SIGUSR1 it is armed with the trap in the file `trap` beside
that of the witness.
"""

import os
import signal
from pathlib import Path

from consumer.__main__ import main
from tests.faults.failpoints import Trap, arm
from tests.faults.witness import testify

if __name__ == "__main__":
    witness = Path(os.environ["WITNESS"])
    later = witness.with_name("trap")
    signal.signal(signal.SIGUSR1, lambda *_: arm(Trap.parse(later.read_text())))
    if "FAILPOINT" in os.environ:
        arm(Trap.parse(os.environ["FAILPOINT"]))
    testify(witness)
    main()

"""`python -m tests.faults.armed run`: the service with a witness, and with a trap if one is set.

FAILPOINT sets a trap from the start. SIGUSR1 sets the one in this process's file, beside the
witness's.
"""

import os
import signal
from pathlib import Path

from consumer.__main__ import main
from tests.faults.failpoints import Trap, arm, trap_file
from tests.faults.witness import testify

if __name__ == "__main__":
    witness = Path(os.environ["WITNESS"])
    later = trap_file(witness, os.getpid())
    signal.signal(signal.SIGUSR1, lambda *_: arm(Trap.parse(later.read_text())))
    if "FAILPOINT" in os.environ:
        arm(Trap.parse(os.environ["FAILPOINT"]))
    testify(witness)
    main()

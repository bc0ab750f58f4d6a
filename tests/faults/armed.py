"""`python -m tests.faults.armed run`: the service with a witness, and with a trap if one is set.

FAILPOINT sets a trap from the start. SIGUSR1 sets the one in the file `trap`, beside the
witness's file.
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

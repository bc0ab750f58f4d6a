"""A command on a terminal of its own, which asks before it acts."""

import os
import pty
import subprocess
import sys

from deploy.replica import PATIENCE_S, ROOT
from tests.acceptance.conftest import Environment, environ


class Asked:
    """A command of the consumer that runs, and has a question."""

    def __init__(self, environment: Environment, *words: str) -> None:
        self._here, there = pty.openpty()
        self.text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "consumer", *words],
            cwd=ROOT,
            env=environ(environment),
            stdin=there,
            stdout=there,
            stderr=there,
        )
        os.close(there)

    def wait_for_question(self) -> None:
        while "[y/N]" not in self.text:
            self._read()

    def answer(self, text: str) -> int:
        """Type the answer and return the exit code."""
        os.write(self._here, f"{text}\n".encode())
        try:
            while True:
                self._read()
        except OSError:  # the other end of the terminal is closed
            os.close(self._here)
        return self._process.wait(PATIENCE_S)

    def _read(self) -> None:
        self.text += " ".join(os.read(self._here, 4_096).decode(errors="replace").split("\r\n"))

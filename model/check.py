"""Check flush.pml with Spin: the protocol holds, and fails without any one of its parts.

    python3 model/check.py              every check; exits with 0 if all end as expected, else 1
    python3 model/check.py NO_FENCE     how this variant of the protocol fails, step by step

Searches are exhaustive: there is no bitstate hashing, and a search that is cut short has failed.
Needs spin and gcc, and exits with 2 if they are missing; of Python only the standard library.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("flush.pml")
PROTOCOL = "protocol"
LONGEST_PATH = 100_000
# Room for a million states: that of the default takes longer to clear than most searches take.
HASH_BITS = 20
MEMORY_MB = 2_000


@dataclass(frozen=True)
class Check:
    """A variant of the protocol, a claim about it, and the expected result: HOLDS or REFUTED."""

    variant: str
    claim: str
    expected: str
    about: str


# ASSERTIONS are those in the processes, and that no process stops before it should. The other
# claims are formulas at the end of the model.
ASSERTIONS, EXACT, FORWARD, PROGRESS = "assertions", "exact", "forward", "progress"
HOLDS, REFUTED, STUCK = "holds", "refuted", "stuck"
CHECKS = (
    Check(PROTOCOL, ASSERTIONS, HOLDS, "none stored twice, none skipped"),
    Check(PROTOCOL, EXACT, HOLDS, "stored is what lies below the offset, always"),
    Check(PROTOCOL, PROGRESS, HOLDS, "once it is calm, all is stored"),
    Check(PROTOCOL, FORWARD, REFUTED, "not claimed: Kafka's offset never goes back"),
    Check("NO_SETTLE", ASSERTIONS, HOLDS, "an unknown COMMIT is tried again: fenced"),
    Check("ASSUME_LOST", ASSERTIONS, REFUTED, "an unknown COMMIT is tried again, unfenced"),
    Check("NO_FENCE", ASSERTIONS, REFUTED, "the offset is moved from wherever it is"),
    Check("NO_RECHECK", ASSERTIONS, REFUTED, "it is compared before the lock, not under it"),
    Check("OFFSET_FIRST", ASSERTIONS, REFUTED, "the offset has a transaction of its own"),
    Check("KAFKA_IS_TRUTH", ASSERTIONS, REFUTED, "a replica starts from Kafka's offset"),
    Check("LAST_WRITE_WINS", ASSERTIONS, REFUTED, "current state takes stale readings too"),
    Check("STUBBORN", PROGRESS, REFUTED, "a fenced replica does not read the offset"),
)


@dataclass(frozen=True)
class Result:
    """What a search found (HOLDS, REFUTED, or why neither is known), and its size and time."""

    found: str
    states: int
    depth: int
    seconds: float


def run(check: Check) -> Result:
    """Search every interleaving; raises CalledProcessError if the model does not compile."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wattline-model-") as folder:
        output = _search(check, Path(folder))
    return Result(
        found=_found(check, output),
        states=_number(r"^ *(\d+) states, stored", output),
        depth=_number(r"depth reached (\d+)", output),
        seconds=time.monotonic() - begun,
    )


def _search(check: Check, folder: Path) -> str:
    shutil.copy(MODEL, folder)
    # Without optimisation: most searches take less time than an optimising compiler.
    flags = [f"-DMEMLIM={MEMORY_MB}"]
    options = [f"-m{LONGEST_PATH}", f"-w{HASH_BITS}"]
    if check.claim == ASSERTIONS:
        flags += ["-DSAFETY", "-DNOCLAIM"]
        flags += ["-DBFS"] if check.expected == REFUTED else []  # finds the shortest path
    else:
        options += ["-a", "-N", check.claim]
        if check.claim == PROGRESS:
            flags += ["-DNFAIR=3"]  # the default allows fairness to four processes only
            options += ["-f"]  # weak fairness
    _do(["spin", "-a", *_switch(check.variant), MODEL.name], folder)
    _do(["gcc", *flags, "-o", "pan", "pan.c"], folder)
    return _do(["./pan", *options], folder, checked=False)


def _found(check: Check, output: str) -> str:
    errors = _number(r"errors: (\d+)", output)
    if errors < 0 or "max search depth too small" in output:
        return "cut short"
    if errors > 0:
        broken = re.search("assertion violated|acceptance cycle", output)
        return REFUTED if broken else STUCK
    if "Search not completed" in output:
        return "cut short"
    if check.claim == ASSERTIONS and check.variant == PROTOCOL and _unreached(output):
        return "unreached"
    return HOLDS


def _unreached(output: str) -> list[str]:
    """Return the steps that no path reached: assertions among them have not been checked."""
    steps: list[str] = re.findall(rf'{MODEL.name}:\d+, state \d+, "(.*)"', output)
    return [step for step in steps if step != "-end-"]


def explain(variant: str, folder: Path) -> int:
    """Print the path that breaks the variant's first claim that does not hold."""
    for check in CHECKS:
        if check.variant == variant and _found(check, _search(check, folder)) in (REFUTED, STUCK):
            shown = ["-t", "-p", "-g", "-l"]  # the steps of the path, and what they change
            sys.stdout.write(_do(["spin", *shown, *_switch(variant), MODEL.name], folder))
            break
    else:
        sys.stdout.write(f"{variant}: every claim holds\n")
    return 0


def _switch(variant: str) -> list[str]:
    return [] if variant == PROTOCOL else [f"-D{variant}"]


def _number(pattern: str, output: str) -> int:
    match = re.search(pattern, output, re.MULTILINE)
    return int(match[1]) if match else -1


def _do(command: list[str], folder: Path, *, checked: bool = True) -> str:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if checked and done.returncode != 0:
        raise subprocess.CalledProcessError(
            done.returncode, command, done.stdout, done.stdout + done.stderr
        )
    return done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the model of the protocol with Spin.")
    variants = list(dict.fromkeys(check.variant for check in CHECKS))
    parser.add_argument("variant", nargs="?", choices=variants, help="show how it fails")
    variant = parser.parse_args().variant
    missing = [program for program in ("spin", "gcc") if shutil.which(program) is None]
    if missing:
        names = " and ".join(missing)
        sys.stderr.write(f"error: {names} not found; on Debian: apt-get install spin gcc\n")
        return 2
    try:
        if variant is None:
            return _report()
        with tempfile.TemporaryDirectory(prefix="wattline-model-") as folder:
            return explain(variant, Path(folder))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"error: {error.cmd[0]} failed: {error.stderr.partition(chr(10))[0]}\n")
        return 1


def _report() -> int:
    row = "{:<16} {:<10}  {:<8}  {:<9}  {:>9}  {:>6}  {:>5}  {}\n"
    head = ("protocol", "claim", "expected", "found", "states", "depth", "s", "what it is about")
    sys.stdout.write(row.format(*head))
    wrong = 0
    # Two at once: on two cores half the time, and at most 4 GB.
    with ThreadPoolExecutor(2) as two:
        for check, result in zip(CHECKS, two.map(run, CHECKS), strict=True):
            wrong += result.found != check.expected
            sys.stdout.write(
                row.format(
                    check.variant,
                    check.claim,
                    check.expected,
                    result.found,
                    f"{result.states:,}",
                    f"{result.depth:,}",
                    f"{result.seconds:.1f}",
                    check.about,
                )
            )
            sys.stdout.flush()
    sys.stdout.write(f"{len(CHECKS) - wrong} of {len(CHECKS)} as expected\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""docker-compose.yml, run as a whole: up, scaled, killed, started again, and every reading checked.

It is a project of its own, with volumes of its own and ports that are free, so a Wattline that
runs from the same file here is not touched. It leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from httpx import codes

from deploy.images import compose, composition, stand_ins
from deploy.images.errors import CheckError, ImageError
from deploy.replica import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from deploy.images.engine import Engine

PROJECT = "wattline-trial"
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / "deploy" / "compose" / ".env.example"
CONSUMERS = 3
KILLS = 2
QUESTION = "/v1/telemetry/meters/current"
SECONDS_TO_START = 300
SECONDS_TO_STOP = 180
SECONDS_TO_ANSWER = 90
SECONDS_TO_VERIFY = 300


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Services of one project, and how compose is called for them. Commands raise ImageError."""

    engine: Engine
    words: Sequence[str]
    environment: Mapping[str, str]
    services: Mapping[str, Any]

    def compose(self, *words: str, seconds: float = 60) -> str:
        """Run a command of compose's, and return its standard output."""
        return self.engine.run(
            [*self.words, *words],
            seconds=seconds,
            more=self.environment,
            name=f"compose {words[0]}",
        )

    def up(self, *words: str) -> None:
        """Start what does not run, and wait until all of it is healthy."""
        flags = ("--detach", "--wait", "--no-build", "--pull", "never")
        self.compose(
            *("up", *flags, "--wait-timeout", str(SECONDS_TO_START), *words),
            seconds=SECONDS_TO_START + 60,
        )

    def address(self, service: str, port: int) -> str:
        """Return where a service's port is open on this machine."""
        return f"http://{self.compose('port', service, str(port)).strip()}"


def run(engine: Engine, *, base: str, say: Callable[[str], None]) -> None:
    """Run the file as a whole, on the images that `build` has built.

    Raises MissingEngineError, CheckError, ImageError.
    """
    begun = time.monotonic()
    with _begun(engine, base=base, say=say) as trial:
        ready = time.monotonic()
        trial.up()
        say(f"all services are healthy after {time.monotonic() - ready:.0f} s")
        trial.up("--no-recreate", "--scale", f"consumer={CONSUMERS}")
        _ask(trial)
        say(f"{CONSUMERS} consumers are healthy, and the API answers to those with a key only")
        if "prometheus" in trial.services:
            _watch(trial)
            say(f"Prometheus finds {CONSUMERS} consumers and the API, and all are up")
        for _ in range(KILLS):
            trial.compose("kill", "--signal", "KILL", "consumer")
            trial.up("--no-recreate", "--scale", f"consumer={CONSUMERS}")
        say(f"all consumers were killed and started again, {KILLS} times")
        # It closes its ledger at the end; killed before, it would not know what it has sent.
        trial.compose(
            *("stop", "--timeout", str(SECONDS_TO_STOP), "simulator"), seconds=SECONDS_TO_STOP + 30
        )
        say(_verify(trial))
    say(f"nothing is left of it; the trial took {time.monotonic() - begun:.0f} s")


@contextlib.contextmanager
def _begun(engine: Engine, *, base: str, say: Callable[[str], None]) -> Iterator[Trial]:
    """Yield the trial, with nothing started yet; at the end remove all that it has started."""
    words = [*compose.program(engine, say=say), "--project-name", PROJECT]
    environment = _secrets()
    printed = engine.run(
        [*words, "--file", str(FILE), "config", "--format", "json"],
        seconds=60,
        more=environment,
        name="compose config",
    )
    read = json.loads(printed)
    missing = {
        name: image for name, image in composition.images(read).items() if not engine.has(image)
    }
    found = {name: stand_ins.stand_in(image) for name, image in missing.items()}
    chosen = {name: image for name, image in found.items() if image is not None}
    left_out = [name for name in missing if name not in chosen]
    if missing:
        say(f"no registry gives the images of {', '.join(missing)} here")
    if chosen:
        built = sorted(set(chosen.values()))
        stand_ins.build(engine, built, base=base)
        sizes = ", ".join(f"{image} {engine.size(image) / 1e6:.0f} MB" for image in built)
        say(f"stand-ins: {sizes}")
    if left_out:
        say(f"left out, because nothing stands in for it: {', '.join(left_out)}")
    changed = composition.tried(read, stand_ins=chosen, left_out=left_out)
    with tempfile.TemporaryDirectory(prefix="wattline-trial-") as folder:
        file = Path(folder, "compose.json")
        file.write_text(json.dumps(changed))
        trial = Trial(
            engine=engine,
            words=[*words, "--file", str(file)],
            environment=environment,
            services=changed["services"],
        )
        with _removed(trial):
            yield trial


@contextlib.contextmanager
def _removed(trial: Trial) -> Iterator[None]:
    """Remove containers, networks and volumes at the end; after a fault, keep their logs."""
    down = ("down", "--volumes", "--remove-orphans", "--timeout", "30")
    trial.compose(*down, seconds=SECONDS_TO_STOP)  # an earlier trial may have been killed
    try:
        yield
    except ImageError as error:
        logs = trial.engine.log.with_name("compose.log")
        with contextlib.suppress(ImageError):
            logs.write_text(trial.compose("ps", "--all") + trial.compose("logs", "--no-color"))
        raise type(error)(f"{error} (what the services said: {logs})", log=error.log) from error
    finally:
        trial.compose(*down, seconds=SECONDS_TO_STOP)


def _secrets() -> dict[str, str]:
    """Return a random value for each secret, and the digest of the API's key."""
    values = {name: secrets.token_hex(16) for name in composition.left_open(EXAMPLE.read_text())}
    key = secrets.token_hex(32)
    return values | {"API_KEY": key, "API_KEYS": hashlib.sha256(key.encode()).hexdigest()}


def _ask(trial: Trial) -> None:
    """Ask the API without a key and with one, which it may be too busy for; raises CheckError."""
    headers = {"Authorization": f"Bearer {trial.environment['API_KEY']}"}
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    with httpx.Client(base_url=trial.address("api", 8000), timeout=60) as client:
        without = client.get(QUESTION)
        answer = client.get(QUESTION, headers=headers)
        while answer.status_code == codes.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
            time.sleep(1)
            answer = client.get(QUESTION, headers=headers)
    if (without.status_code, answer.status_code) != (codes.UNAUTHORIZED, codes.OK):
        raise CheckError(
            f"the API answers {without.status_code} without a key and {answer.status_code} with it"
        )


def _watch(trial: Trial) -> None:
    """Wait until Prometheus has asked every process, and each has answered; raises CheckError."""
    address = trial.address("prometheus", 9090)
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    wanted = {"consumer": CONSUMERS, "api": 1}
    while (found := _up(address)) != wanted:
        if time.monotonic() > deadline:
            raise CheckError(f"Prometheus finds {found or 'nothing'} up, not {wanted}")
        time.sleep(1)


def _up(address: str) -> dict[str, int]:
    """Return how many processes of each job are up, as Prometheus says; jobs without are absent."""
    query = {"query": "count by (job) (up == 1)"}
    answer = httpx.get(f"{address}/api/v1/query", params=query, timeout=30).json()
    return {one["metric"]["job"]: int(one["value"][1]) for one in answer["data"]["result"]}


def _verify(trial: Trial) -> str:
    """Compare what the simulator sent with what is stored, and return the last line of the report.

    It reads the tables as the reader, for the simulator itself knows no database.
    Raises CheckError.
    """
    password = trial.environment["READER_PASSWORD"]
    database = f"postgresql://compose_reader:{password}@postgres:5432/wattline?sslmode=disable"
    verify = f"exec python -m producer_sim verify ledger/* --exact --wait {SECONDS_TO_VERIFY // 2}"
    try:
        report = trial.compose(
            *("run", "--rm", "--no-deps", "-T", "--env", f"DATABASE_URL={database}"),
            *("--entrypoint", "sh", "simulator", "-c", verify),
            seconds=SECONDS_TO_VERIFY,
        )
    except ImageError as error:
        problem = "what is stored is not what was sent, or the check did not end; its report:"
        raise CheckError(f"{problem} {error.log}", log=error.log) from error
    return report.strip().splitlines()[-1]

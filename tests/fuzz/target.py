"""libFuzzer's process, which `python -m tests.fuzz` starts; it ends in `Fuzz` and never returns.

python -m tests.fuzz.target FLAG… FOLDER: the flags are libFuzzer's, the folder holds its seeds.
"""

import sys

import atheris

with atheris.instrument_imports(include=["telemetry", "consumer"]):
    from tests.fuzz.judge import judge

if __name__ == "__main__":
    atheris.Setup(sys.argv, judge)
    atheris.Fuzz()

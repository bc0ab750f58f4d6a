"""What is recorded of a benchmark is there again, in order, and names no machine."""

from pathlib import Path

import pytest

from benchmarks import history


def test_entries_are_read_as_they_were_appended(tmp_path: Path) -> None:
    file = tmp_path / "new" / "drain.jsonl"
    assert history.read(file) == []
    entries: list[history.Entry] = [
        {"commit": "1234567", "ratio": {"median": 0.6}},
        {"commit": "89abcde+", "µs": None},
    ]
    for entry in entries:
        history.append(file, entry)
    assert history.read(file) == entries
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(entries)


def test_a_value_that_is_not_json_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "drain.jsonl"
    history.append(file, {"ratio": 0.6})
    with pytest.raises(ValueError, match="not JSON compliant"):
        history.append(file, {"ratio": float("nan")})
    assert history.read(file) == [{"ratio": 0.6}]


def test_a_record_says_commit_date_and_machine_and_no_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    history.record("stored", {"ratio": {"median": 0.9}})
    (entry,) = history.read(tmp_path / "stored.jsonl")
    assert list(entry) == ["commit", "date", "machine", "ratio"]
    assert entry["commit"].removesuffix("+").isalnum()  # "unknown" in a copy without a git
    assert entry["date"].endswith("Z")
    assert set(entry["machine"]) == {"cores", "cpu", "memory_gb"}


def test_a_spread_is_least_median_and_most() -> None:
    assert history.spread([3, 1.00004, 2]) == {"min": 1.0, "median": 2.0, "max": 3.0}
    assert history.spread([]) is None

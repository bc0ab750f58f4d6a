"""The folders of a stack are closed to other users, whatever mode they had."""

import os
from pathlib import Path

import pytest

from deploy.local import stack
from deploy.local.closed import close, make


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_a_new_folder_is_closed_and_those_above_it_are_left_alone(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir(mode=0o755)
    assert mode(make(above / "stack")) == 0o700
    assert mode(above) == 0o755


@pytest.mark.parametrize("before", [0o777, 0o755, 0o750])
def test_an_existing_folder_is_closed(tmp_path: Path, before: int) -> None:
    tmp_path.chmod(before)
    make(tmp_path)
    assert mode(tmp_path) == 0o700


@pytest.mark.parametrize("place", ["postgres/data", "test/postgres/data", "test/gw0/postgres/data"])
def test_as_root_data_that_another_user_reads_stay_within_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / place).mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    close(tmp_path)
    assert mode(tmp_path) == 0o711
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    close(tmp_path)
    assert mode(tmp_path) == 0o700


def test_as_root_a_link_to_data_elsewhere_needs_no_way_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "stack", tmp_path / "elsewhere"
    folder.mkdir()
    (elsewhere / "data").mkdir(parents=True)
    (folder / "postgres").symlink_to(elsewhere)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    close(folder)
    assert mode(folder) == 0o700


def test_a_folder_of_others_keeps_its_mode_and_ours_in_it_are_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch()
    (tmp_path / "logs").mkdir(mode=0o755)
    stack._open_folder(tmp_path)
    assert [mode(tmp_path), mode(tmp_path / "kafka"), mode(tmp_path / "logs")] == [
        0o755,
        0o700,
        0o700,
    ]

"""The folders of a stack are its user's alone: logs and data tell what the servers were told.

As root there is one exception: user `nobody`, who runs PostgreSQL then, has to pass through the
folders above data that lie where `nobody` could once reach them. Such a folder may be passed
through, and not be listed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWN, PASSABLE = 0o700, 0o711
_DATA = ("postgres/data", "*/postgres/data", "*/*/postgres/data")  # of stacks in it, too


def close(folder: Path) -> None:
    """Let only its user into the folder, whatever mode it has; raises OSError."""
    mode = PASSABLE if os.geteuid() == 0 and _holds_data(folder) else OWN
    if folder.stat().st_mode & 0o777 != mode:
        folder.chmod(mode)


def make(folder: Path) -> Path:
    """Make the folder, with those above it, or close the one that is there; raises OSError."""
    folder.mkdir(mode=OWN, parents=True, exist_ok=True)
    close(folder)
    return folder


def _holds_data(folder: Path) -> bool:
    found = (data for pattern in _DATA for data in folder.glob(pattern))
    return any(not data.parent.is_symlink() for data in found)

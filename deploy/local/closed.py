"""Close the folders of a stack to other users, because logs and data show what the servers know.

There is one exception, if we are root: PostgreSQL runs as `nobody`, who must pass through the
folders above the data. These can be passed through, but not listed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWN, PASSABLE = 0o700, 0o711
_DATA = ("postgres/data", "*/postgres/data", "*/*/postgres/data")  # also of stacks inside it


def close(folder: Path) -> None:
    """Close the folder to other users, whatever its mode is; raises OSError."""
    mode = PASSABLE if os.geteuid() == 0 and _holds_data(folder) else OWN
    if folder.stat().st_mode & 0o777 != mode:
        folder.chmod(mode)


def make(folder: Path) -> Path:
    """Make the folder and its parents, or close the one that exists; raises OSError."""
    folder.mkdir(mode=OWN, parents=True, exist_ok=True)
    close(folder)
    return folder


def _holds_data(folder: Path) -> bool:
    found = (data for pattern in _DATA for data in folder.glob(pattern))
    return any(not data.parent.is_symlink() for data in found)

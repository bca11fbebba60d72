"""As whom PostgreSQL runs, and what that user may reach: it refuses to run as root."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from app.database.embedded.finding import USE_YOUR_OWN, EmbeddedServerError, libraries
from app.database.embedded.keeping import ACCOUNT

if sys.platform != "win32":  # there, join() says what to do instead
    import pwd


Report = Callable[[str], None]


class Account(NamedTuple):
    """As whom PostgreSQL runs; None is: as who starts it."""

    uid: int | None = None
    gid: int | None = None

    @property
    def extra_groups(self) -> list[int] | None:
        """None of root's, for another user."""
        return None if self.uid is None else []


OURSELVES = Account()


def system_user(report: Report) -> Account:
    """Find the user that PostgreSQL runs as for root, or create it.

    Raises:
        EmbeddedServerError: It could not be created.
    """
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        report(f"Creating the system user {ACCOUNT}, because PostgreSQL refuses to run as root")
        _add_system_user()
        entry = pwd.getpwnam(ACCOUNT)
    return Account(entry.pw_uid, entry.pw_gid)


def _add_system_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    try:
        subprocess.run(  # noqa: S603 - a constant; the system's own PATH decides where it is
            [*command, "--shell", "/usr/sbin/nologin", ACCOUNT],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, and the system user {ACCOUNT} could not be "
            f"created ({' '.join(detail.split())}): start as an ordinary user. {USE_YOUR_OWN}"
        ) from error


def name_of(uid: int) -> str:
    """Name a user, or their number where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def let_through(programs: Path, directory: Path, account: Account, report: Report) -> None:
    """As root, let PostgreSQL's user reach its programs and its data, and no more."""
    if account.uid is None:
        return
    for place in (programs, directory):
        _make_searchable(place, account, report)
    if not _may(programs / "postgres", account, 0o5):
        for place in (programs.parent, *libraries(programs)):
            _make_readable(place, report)


def _may(path: Path, account: Account, permission: int) -> bool:
    """Whether the mode grants the account these bits (4 read, 2 write, 1 search)."""
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return (status.st_mode >> shift) & permission == permission


def _make_searchable(directory: Path, account: Account, report: Report) -> None:
    for place in (directory, *directory.parents):
        if not _may(place, account, 0o1):
            place.chmod(stat.S_IMODE(place.stat().st_mode) | stat.S_IXOTH)
            report(f"Let other users pass through {place} (not list it), as PostgreSQL needs")


def _make_readable(root: Path, report: Report) -> None:
    report(f"Letting other users read the programs in {root}, as PostgreSQL needs")
    for place in (root, *root.rglob("*")):
        mode = stat.S_IMODE(place.stat().st_mode)
        place.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))

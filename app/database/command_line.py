"""The commands of `litestar database`."""

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import rich_click as click
from rich.markup import escape
from rich.table import Table

from app.database import backup, drift, migrations, prisma, seed, stats
from app.database.backfill import backfill_manifest_versions
from app.database.backup import BackupError
from app.database.catalog import of_no_extension
from app.database.engine import DB, fetchval
from app.database.migrations import MigrationError
from app.database.new_migration import write_migration
from app.database.terminal import Result, console, fail, with_database
from app.piccolo_app import APP_CONFIG
from app.settings import COMMAND, settings

yes_option = click.option("--yes", is_flag=True, help="Don't ask.")


@click.command(short_help="Apply pending migrations.")
@click.argument("target", default="all")
def upgrade(target: str) -> None:
    """Apply the pending migrations, up to TARGET if one is named.

    Each is one transaction together with its record. Several processes may do this at once: one
    migrates, the others wait.

    Example: litestar database upgrade
    """
    applied = _run(lambda: _upgrade(target))
    click.echo(f"Applied {len(applied)} migration(s)." if applied else "Nothing is pending.")


async def _upgrade(target: str) -> list[str]:
    if await fetchval(migrations.MADE_BY_PRISMA):
        fail(f"Prisma made this database. Run: {COMMAND} database adopt-prisma")
    with _progress("migrating") as report:
        return await migrations.upgrade(target, report)


@click.command(short_help="Reverse migrations.")
@click.argument("target")
@yes_option
def downgrade(target: str, *, yes: bool) -> None:
    """Reverse every migration after TARGET: a name, an id, or `zero` for all of them.

    Rows stay as far as the older schema can hold them; each migration's file says what is lost.

    Example: litestar database downgrade auth_redesign
    """
    if not yes:
        click.confirm(f"Reverse what came after {target} in {_where()}?", abort=True)
    reversed_ = _run(lambda: _downgrade(target))
    click.echo(f"Reversed {len(reversed_)} migration(s)." if reversed_ else "Nothing to reverse.")


async def _downgrade(target: str) -> list[str]:
    with _progress("migrating") as report:
        return await migrations.downgrade(target, report)


@click.command(short_help="Show which migrations the database has.")
def status() -> None:
    """Show which migrations the database has. Exit status 1 when some are pending.

    Example: litestar database status
    """
    states = _run(migrations.status)
    table = Table("id", "migration", "applied")
    for state in states:
        applied = f"{state.applied_at:%Y-%m-%d %H:%M:%S}" if state.applied_at else "pending"
        table.add_row(state.id, state.name or "unknown to this version", applied)
    console().print(table)
    if any(state.applied_at is None for state in states):
        sys.exit(1)


@click.command(short_help="Write the skeleton of a new migration.")
@click.argument("name")
def make_migration(name: str) -> None:
    """Write the skeleton of a migration called NAME, with what changed in app/tables.py.

    Its SQL is yours to write, forwards and backwards.

    Example: litestar database make-migration add_room_colour
    """
    path = _run(lambda: write_migration(APP_CONFIG, name, datetime.now(UTC)))
    click.echo(f"Wrote {path}")
    click.echo("Write its SQL (UP, DOWN) and docstring, and run `ruff format` on it. Then:")
    click.echo("  litestar database upgrade && litestar database check --write")


@click.command(short_help="Find drift between tables, migrations and the database.")
@click.option("--write", is_flag=True, help="Make the present catalog the expected one.")
def check(*, write: bool) -> None:
    """Find what tables, migrations and the database say differently. Exit status 1 if anything.

    Indexes, constraints, delete actions, defaults, triggers, functions and enum values included:
    the database is compared with app/database/catalog.json. After writing a migration, renew that
    with --write, on a migrated database that has no other changes. Whole tables, enums and
    functions of somebody else who shares the database are named, and are no drift.

    Example: litestar database check
    """
    if write and not _run(migrations.pending):
        _run(drift.write_expected)
    faults = _run(lambda: drift.check(APP_CONFIG))
    for fault in faults:
        click.echo(fault)
    if faults:
        sys.exit(1)
    if beside := _run(drift.strangers):
        click.echo(f"Somebody else's, not compared: {', '.join(beside)}.")
    click.echo("Tables, migrations and database agree.")


@click.command(short_help="Delete everything, migrate and seed. Development only.")
@yes_option
def reset(*, yes: bool) -> None:
    """Delete everything in the database, administrators too, migrate it and add the demo data.

    Refused in production.

    Example: litestar database reset
    """
    if settings().in_production:
        fail("reset deletes everything: production refuses it.")
    if not yes:
        click.confirm(f"Delete everything in {_where()}?", abort=True)
    _run(_reset)
    click.echo("The database is new, with the demo data.")


async def _reset() -> None:
    with _progress("resetting") as report:
        async with migrations.only_migrator(report) as connection:
            report("deleting everything")
            await connection.execute(DROP_EVERYTHING)
        await migrations.upgrade(on_step=report)
        report("adding the demo data")
        await seed.seed()


# Not the schema itself: before PostgreSQL 15 it does not belong to the database's owner.
DROP_EVERYTHING = f"""
    DO $$
    DECLARE thing TEXT;
    BEGIN
        -- All are named before the first goes: what goes with another one has no name any more.
        FOREACH thing IN ARRAY ARRAY(
            SELECT format('TABLE IF EXISTS public.%I', relname) FROM pg_class c
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
              AND {of_no_extension("pg_class", "c.oid")}
            UNION ALL
            SELECT format('TYPE IF EXISTS public.%I', typname) FROM pg_type t
            WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
              AND {of_no_extension("pg_type", "t.oid")}
            UNION ALL
            SELECT format('ROUTINE IF EXISTS %s', p.oid::regprocedure) FROM pg_proc p
            WHERE pronamespace = 'public'::regnamespace AND {of_no_extension("pg_proc", "p.oid")}
            UNION ALL
            SELECT format('SCHEMA IF EXISTS %I', nspname) FROM pg_namespace WHERE nspname = 'admin'
        )
        LOOP
            EXECUTE 'DROP ' || thing || ' CASCADE';
        END LOOP;
    END $$
"""


@click.command("seed", short_help="Add the demo data.")
def add_demo_data() -> None:
    """Add the demo people, apps and rooms. Running it again changes nothing.

    Refused in production.

    Example: litestar database seed
    """
    if settings().in_production:
        fail("The demo data is for development: production refuses it.")
    _run(seed.seed)
    click.echo("The demo data is there.")


@click.command("backfill-manifest-versions", short_help="Versions for apps that never had one.")
def backfill() -> None:
    """Take each app's version from its manifest and lock its rooms to it.

    For a database whose versions were added by Prisma without the plan's script. Apps that were
    published again since are left alone; running it again changes nothing.

    Example: litestar database backfill-manifest-versions
    """
    changed = _run(lambda: backfill_manifest_versions(click.echo))
    click.echo(f"Backfilled {changed} app(s)." if changed else "Every app has its version.")


@click.command(short_help="Take over a database that Prisma made.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done. Changes nothing.")
def adopt_prisma(*, dry_run: bool) -> None:
    """Take over a database made by the plan's Prisma migrations, in place.

    First everything that it has otherwise than the plan is told. What harms nobody (a default, an
    index, a text type, tables of your own, another schema) is reconciled; what would lose rows or
    change what they mean is refused, all at once and by name. Then all happens in one transaction:
    times get their zone (UTC), refresh tokens and app secrets become hashes, e-mail addresses get
    their one form, our migrations follow. Or nothing changes.

    Try it with --dry-run while the old service runs. Then stop that, take a backup, and adopt.

    Example: litestar database adopt-prisma --dry-run
    """
    state = _run(lambda: _adopt_prisma(dry_run=dry_run))
    if state is None:
        click.echo("This database is ours already.")
    elif dry_run:
        click.echo(f"It can be adopted: it is in the state of {state}. Nothing has changed.")
    else:
        click.echo(f"Adopted: it was in the state of {state}.")


async def _adopt_prisma(*, dry_run: bool) -> str | None:
    told: list[prisma.Findings] = []

    def tell(findings: prisma.Findings) -> None:
        told.append(findings)
        _tell_findings(findings)

    try:
        with _progress("adopting") as report:
            return await prisma.adopt(report, tell, dry_run=dry_run)
    except prisma.NotAdoptable as refusal:
        if not told or not told[0].refused:
            for fault in refusal.faults:
                click.echo(fault, err=True)
        fail("This database was not adopted; nothing in it has changed.")


def _tell_findings(findings: prisma.Findings) -> None:
    click.echo(f"Compared with the state of {findings.state}:")
    click.echo(f"Reconciled, {len(findings.reconciled)}:")
    for sentence in findings.reconciled:
        click.echo(f"  {sentence}")
    click.echo(f"Refused, {len(findings.refused)}:", err=bool(findings.refused))
    for sentence in findings.refused:
        click.echo(f"  {sentence}", err=True)


@click.command("stats", short_help="Show blacklist, sessions, index usage and table sizes.")
def show_stats() -> None:
    """Show the blacklist's and the sessions' size, how much each index is used, table sizes.

    Example: litestar database stats
    """
    for title, rows in _run(stats.figures).items():
        console().print(stats.as_table(title, rows))


@click.command("backup", short_help="Write the whole database into a file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def make_backup(file: Path) -> None:
    """Write the whole database into FILE, as it is at one moment, in pg_dump's custom format.

    The service may run meanwhile.

    Example: litestar database backup event-platform.dump
    """
    _run(lambda: backup.backup(file))
    click.echo(f"Wrote {file}: {file.stat().st_size:,} bytes.")


@click.command("restore", short_help="Fill an empty database from a backup.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore_backup(file: Path) -> None:
    """Fill the empty database of DATABASE_URL from FILE, all of it or nothing.

    Extensions that it has already are no hindrance; those that it lacks are created, which may take
    the rights of a superuser.

    Example: litestar database restore event-platform.dump
    """
    left_out = _run(lambda: backup.restore(file))
    for table in left_out:
        click.echo(f"Left out the rows of {table}: only its extension's owner may write them.")
    click.echo(f"Restored {file}.")


COMMANDS: dict[str, click.Command] = {
    str(command.name): command
    for command in (
        upgrade,
        downgrade,
        status,
        make_migration,
        check,
        reset,
        add_demo_data,
        backfill,
        adopt_prisma,
        show_stats,
        make_backup,
        restore_backup,
    )
}


def _run(work: Callable[[], Awaitable[Result]]) -> Result:
    return with_database(work, MigrationError, BackupError)


@contextmanager
def _progress(doing: str) -> Iterator[Callable[[str], None]]:
    """Give out a function that prints a step with the seconds so far; meanwhile, a spinner."""
    screen = console()
    started = time.perf_counter()

    def report(step: str) -> None:
        screen.print(f"[dim]{time.perf_counter() - started:5.1f} s[/] {escape(step)}")

    with screen.status(doing):
        yield report


def _where() -> str:
    if DB.is_embedded:
        return "the embedded database"
    url = urlsplit(DB.config["dsn"])
    return f"the database {url.path.removeprefix('/')!r} on {url.hostname or 'the local socket'}"

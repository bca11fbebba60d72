"""`litestar draws …`: a draw is checked offline, or with what the database remembers."""

from pathlib import Path

import msgspec
import rich_click as click

from app.database.terminal import with_database
from app.draws.auditing import Event, audit_of
from app.draws.record import UNCOVERED, Check, ListMissing, Record, check, remarks_on

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def draws() -> None:
    """Check draws: with nothing but their files, or with what the database remembers."""


@draws.command()
@click.argument("record", type=FILE)
@click.argument("entrants", type=FILE, required=False)
def verify(record: Path, entrants: Path | None) -> None:
    """Recompute a draw from RECORD (record.json) and ENTRANTS (entrants.txt).

    Names the first step that fails, and then ends with status 1. Asks no server. Only a draw that
    was cancelled before its close has no ENTRANTS; without those of another it ends with status 2.
    """
    try:
        result = check(record.read_bytes(), entrants.read_bytes() if entrants else None)
    except ListMissing as missing:
        raise click.UsageError("Give entrants.txt, too: this draw has entrants.") from missing
    _show_steps(result)
    if result.record is None or not result.passed:
        raise SystemExit(1)
    _show_outcome(result.record)


@draws.command()
@click.argument("room")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def audit(room: str, as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """List the draws of ROOM (its id) with their steps, and what happened in between.

    Works for rooms that were deleted. A room that there is not ends with status 1.
    """
    events = with_database(lambda: audit_of(room))
    if as_json:
        click.echo(msgspec.json.encode(events).decode())
        return
    if not events:
        click.echo("This room has no draws.")
    for event in events:
        _show_event(event)


def _show_event(event: Event) -> None:
    indent = "" if event.step else "    "
    when = f"{event.at:%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"{when}  draw {event.draw}  {indent}{event.what}, by {event.actor}")
    for change in event.changes:
        click.echo(f"        {change}")


def _show_steps(result: Check) -> None:
    for step in result.steps:
        if step.fault is not None:
            _say(f"✗ {step.name:<10} {step.fault}")
        elif step.void is not None:
            _say(f"- {step.name:<10} {step.void}")
        else:
            _say(f"✓ {step.name:<10} {step.promise}")


def _show_outcome(record: Record) -> None:
    click.echo()
    if record.winners is None:
        _say(f"Cancelled: {record.reason}")
    lacking = {(each.prizeId, each.participantId): each.reason for each in record.unawarded or ()}
    for win in record.winners or ():
        reason = lacking.get((win.prizeId, win.participantId))
        what = f"place {win.place}" if reason is None else f"place {win.place}, unawarded: {reason}"
        _say(f"{win.prizeId}  {win.participantId}  ({what})")
    for each in record.claims or ():
        heir = "back in stock" if each.next is None else f"goes to {each.next}"
        by = "" if each.settledBy is None else f" by {each.settledBy}"
        _say(f"{each.prizeId}  {each.participantId}  {each.status}{by} at {each.at}: {heir}")
    for remark in () if record.winners is None else remarks_on(record):
        _say(remark)
    click.echo(f"\nDigest of the record: {record.recordDigest}")
    if record.claimsDigest:
        click.echo(f"Digest of what was not claimed until now: {record.claimsDigest}")
    click.echo(
        f"Compare it with the one that was shown after the draw: {', '.join(UNCOVERED)} enter no "
        "other digest."
    )


def _say(text: str) -> None:
    """Print a line of what a record says, which can do nothing else to a terminal."""
    shown = (each if each.isprintable() else repr(each)[1:-1] for each in text)
    click.echo("".join(shown))

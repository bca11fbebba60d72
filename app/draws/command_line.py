"""`litestar draws …`: what an outsider does with a draw, offline."""

from pathlib import Path

import rich_click as click

from app.draws.record import UNCOVERED, Check, Record, check

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def draws() -> None:
    """Check draws, with nothing but their files."""


@draws.command()
@click.argument("record", type=FILE)
@click.argument("entrants", type=FILE, required=False)
def verify(record: Path, entrants: Path | None) -> None:
    """Recompute a draw from RECORD (record.json) and ENTRANTS (entrants.txt).

    Names the first step that fails, and then ends with status 1. Asks no server. Only a draw that
    was cancelled before its close has no ENTRANTS.
    """
    result = check(record.read_bytes(), entrants.read_bytes() if entrants else b"")
    _show_steps(result)
    if result.record is None or not result.passed:
        raise SystemExit(1)
    _show_outcome(result.record)


def _show_steps(result: Check) -> None:
    for step in result.steps:
        if step.fault is None:
            click.echo(f"✓ {step.name:<10} {step.promise}")
        else:
            click.echo(f"✗ {step.name:<10} {step.fault}")


def _show_outcome(record: Record) -> None:
    click.echo()
    if record.winners is None:
        click.echo(f"Cancelled: {record.reason}")
    for win in record.winners or ():
        click.echo(f"{win.prizeId}  {win.participantId}  (place {win.place})")
    if record.undrawn:
        click.echo(f"{record.undrawn} unit(s) found nobody.")
    click.echo(f"\nDigest of the record: {record.recordDigest}")
    click.echo(
        f"Compare it with the one that was shown after the draw: {', '.join(UNCOVERED)} enter no "
        "other digest."
    )

"""`litestar draws verify`, as an outsider runs it."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result
from msgspec.structs import replace

from app.draws.command_line import draws
from app.draws.record import Record
from app.settings import PROJECT_ROOT
from tests.draws import records


def verify(folder: Path, record: Record, entrants_txt: bytes = records.ENTRANTS_TXT) -> Result:
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    (folder / "entrants.txt").write_bytes(entrants_txt)
    files = [str(folder / name) for name in ("record.json", "entrants.txt")]
    return CliRunner().invoke(draws, ["verify", *files])


def test_a_true_record_ends_with_the_winners_and_status_0(tmp_path: Path) -> None:
    result = verify(tmp_path, records.drawn())
    assert result.exit_code == 0, result.output
    assert "✗" not in result.output
    assert "p1  bob  (place 1)" in result.output
    assert records.drawn().recordDigest in result.output


def test_the_first_wrong_step_is_the_last_line_and_the_status_is_1(tmp_path: Path) -> None:
    forged = replace(records.drawn(), seed="00" * 32, undrawn=3)
    result = verify(tmp_path, forged)
    assert result.exit_code == 1
    *held, last = result.output.splitlines()
    assert last.startswith("✗ seed       the seed is 71cd16")
    assert all(line.startswith("✓") for line in held)


def test_no_record_at_all_ends_with_status_1(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    file = str(tmp_path / "record.json")
    result = CliRunner().invoke(draws, ["verify", file, file])
    assert result.exit_code == 1
    assert result.output.startswith("✗ form")


def test_a_cancelled_draw_shows_the_reason(tmp_path: Path) -> None:
    result = verify(tmp_path, records.cancelled())
    assert result.exit_code == 0
    assert "Cancelled: The prize broke." in result.output


def test_a_draw_that_was_never_closed_has_no_list(tmp_path: Path) -> None:
    verify(tmp_path, records.cancelled_early(), b"")
    result = CliRunner().invoke(draws, ["verify", str(tmp_path / "record.json")])
    assert result.exit_code == 0, result.output


def test_undrawn_units_are_told(tmp_path: Path) -> None:
    lone = records.drawn()
    assert "found nobody" not in verify(tmp_path, lone).output
    short = records.short_of_entrants()
    result = verify(tmp_path, short, b"")
    assert result.exit_code == 0, result.output
    assert "3 unit(s) found nobody." in result.output


def test_the_command_line_has_it(tmp_path: Path) -> None:
    verify(tmp_path, records.drawn())
    command = [sys.executable, "-m", "litestar", "draws", "verify", "record.json", "entrants.txt"]
    settings = {"LITESTAR_APP": "app.asgi:create_app", "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bob" in done.stdout.decode()

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
from tests.draws import records, vectors


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

    for step in ("entrants   no list", "plan       no plan"):
        assert f"- {step} was fixed: it was cancelled before the close\n" in result.output


def test_a_list_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    verify(tmp_path, records.drawn())
    result = CliRunner().invoke(draws, ["verify", str(tmp_path / "record.json")])
    assert result.exit_code == 2
    assert "Give entrants.txt, too" in result.output
    assert "✗" not in result.output
    verify(tmp_path, records.short_of_entrants(), b"")
    result = CliRunner().invoke(draws, ["verify", str(tmp_path / "record.json")])
    assert result.exit_code == 0, result.output


def test_what_the_winners_do_not_tell_is_said_of_them(tmp_path: Path) -> None:
    at_once = verify(tmp_path, records.changed(records.drawn(), immediate=True)).output
    assert "Drawn at once: nobody could check the commitment beforehand.\n" in at_once
    assert "Nothing came in from outside.\n" in at_once
    assert "1 excluded: “works here” (1).\n" in at_once
    assert "at once" not in verify(tmp_path, records.drawn()).output
    assert "dice: “42615”\n" in verify(tmp_path, records.dice()).output
    drand = records.all_drawn()[2]
    assert f"drand round {vectors.ROUND}: {drand.public}\n" in verify(tmp_path, drand).output
    assert "taken back from the winner w1" in verify(tmp_path, records.redrawn()).output
    assert "1 turn(s) went to the next" in verify(tmp_path, records.passed_over({"bob"})).output
    assert "(place 2, unawarded: HOLDS_PRIZE)" in verify(tmp_path, records.unawarded()).output


def test_a_record_can_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    reason = "\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}all right\n✓ naïve"
    result = verify(tmp_path, records.changed(records.cancelled(), reason=reason))
    assert "Cancelled: \\x1b[2J\\u202eall right\\n✓ naïve\n" in result.output


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

"""The lines of the README, and those of a draw that go on from them, run as they are copied."""

import re
import subprocess
import zipfile
from pathlib import Path

from app.settings import PROJECT_ROOT
from tests.server import serving


def lines_of(heading: str, readme: str = "README.md") -> list[str]:
    text = (PROJECT_ROOT / readme).read_text()
    block = re.search(rf"## {heading}.*?```bash\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def bash(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_api_in_five_minutes_works_twice(empty_database: str, tmp_path: Path) -> None:
    lines = lines_of("API in five minutes")
    draw = lines_of("Holding a draw", "app/draws/README.md")
    people = lines_of("From a spreadsheet to winners who know")
    with serving(DATABASE_URL=empty_database) as server:
        walk, *others = (
            "\n".join(part).replace("http://127.0.0.1:8000", server.url)
            for part in (lines, (*draw, *people))
        )
        before = bash(walk, tmp_path)
        run = bash("\n".join((walk, *others)), tmp_path)
        refused = bash(f"{walk}\nsend $API/rooms -d '{{}}' | data id", tmp_path)

    assert (before.returncode, before.stderr) == (0, "")
    assert (run.returncode, run.stderr) == (0, "")
    *printed, active, added, units, announced, entrants, over, rows = run.stdout.splitlines()
    printed, drawn = printed[: -len(draw)], printed[-len(draw) :]
    assert len(printed) == 1 + sum(not re.match(r"\w+=|\w+\(\)", line) for line in lines)
    assert printed[0] == "ACTIVE"
    assert re.fullmatch(r"c[0-9a-z]{24}", printed[1])
    assert printed[2:5] == ["2", "{'participants': 2, 'prizes': 1, 'winners': 1}", "2"]
    told = (PROJECT_ROOT / "README.md").read_text()
    assert all(f"`{each}`" in told for each in printed[2:5])
    assert printed[5:] == [
        '"name","email","prizeName"',
        '"Diana Martinez","diana@example.com","Ice cream"',
    ]
    assert drawn[:4] == ["2", "ANNOUNCED", "3", "DRAWN"]
    assert re.fullmatch(rf"{server.url}/rooms/c[0-9a-z]{{24}}/draws/1", drawn[4])
    assert (active, added, units, announced, entrants, over, rows) == (
        *("ACTIVE", "300", "10", "ANNOUNCED", "300", "DRAWN", "11"),
    )
    assert zipfile.is_zipfile(tmp_path / "evidence.zip")
    assert refused.returncode == 1
    assert refused.stderr.startswith("{'code': 'VALIDATION_ERROR', 'message':")

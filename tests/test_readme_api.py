"""The README's "API in five minutes", run as it is copied."""

import re
import subprocess
from pathlib import Path

from app.settings import PROJECT_ROOT
from tests.server import serving


def lines_of_the_readme() -> list[str]:
    text = (PROJECT_ROOT / "README.md").read_text()
    block = re.search(r"## API in five minutes.*?```bash\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def test_the_api_in_five_minutes_works_line_by_line(empty_database: str, tmp_path: Path) -> None:
    lines = lines_of_the_readme()
    with serving(DATABASE_URL=empty_database) as server:
        script = tmp_path / "lines.sh"
        served = [line.replace("http://127.0.0.1:8000", server.url) for line in lines]
        script.write_text("\n".join(served))

        run = subprocess.run(
            ["bash", "-euo", "pipefail", script], capture_output=True, text=True, check=False
        )

    printed = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
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

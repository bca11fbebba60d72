"""The README's independent check, run as a reader would."""

import base64
import json
import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from playwright._impl._driver import compute_driver_executable

from app.draws.ranking import Win
from app.draws.record import Record
from tests.draws import records, vectors

README = Path(__file__).parents[2] / "app/draws/README.md"
NODE, _ = compute_driver_executable()
"""Node.js, which Playwright brings along."""


def script() -> str:
    found = re.search(r"```js\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def checked(
    folder: Path, record: Record, entrants_txt: bytes | None = records.ENTRANTS_TXT
) -> subprocess.CompletedProcess[str]:
    (folder / "check.mjs").write_text(script())
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    if entrants_txt is None:
        return run(folder, "check.mjs", "record.json")
    (folder / "entrants.txt").write_bytes(entrants_txt)
    return run(folder, "check.mjs", "record.json", "entrants.txt")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NODE, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


CLAIMING = [records.claiming(), records.claiming_dice()]


@pytest.mark.parametrize(
    "record", [*records.all_drawn(), *CLAIMING], ids=["none", "text", "drand", "claims", "passed"]
)
def test_a_true_record_checks_out(tmp_path: Path, record: Record) -> None:
    done = checked(tmp_path, record)
    assert done.stdout == "This draw checks out.\n", done.stderr
    assert done.returncode == 0


FIRST = records.drawn()
WINNERS = FIRST.winners or ()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (replace(FIRST, secret="00" * 32), "commitment is"),
        (replace(FIRST, planDigest="00" * 32), "planDigest is"),
        (replace(FIRST, public="00"), "the list of winners is"),
        (replace(FIRST, winners=(Win("p1", "alice", 1, "0" * 64), *WINNERS[1:])), "the list of"),
        (replace(FIRST, undrawn=1), "undrawn is 0, not 1"),
        (replace(FIRST, number=2), "recordDigest is"),
    ],
)
def test_a_forged_record_does_not(tmp_path: Path, record: Record, said: str) -> None:
    done = checked(tmp_path, record)
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("record", "entrants_txt", "said"),
    [
        (records.cancelled(), records.ENTRANTS_TXT, "Cancelled: The prize broke.\n"),
        (records.cancelled_early(), None, "Cancelled before the close: The prize broke.\n"),
        (records.cancelled_early(), b"", "Cancelled before the close: The prize broke.\n"),
        (records.short_of_entrants(), None, "This draw checks out.\n"),
    ],
)
def test_what_has_no_winners_or_no_list_is_checked_as_far_as_it_goes(
    tmp_path: Path, record: Record, entrants_txt: bytes | None, said: str
) -> None:
    done = checked(tmp_path, record, entrants_txt)
    assert (done.stdout, done.returncode) == (said, 0), done.stderr
    forged = checked(tmp_path, replace(record, reason="Rain."), entrants_txt)
    assert "recordDigest is" in forged.stderr
    assert forged.returncode == 1


@pytest.mark.parametrize(
    ("record", "entrants_txt", "said"),
    [
        (FIRST, None, "Give entrants.txt, too."),
        (records.closed(), records.ENTRANTS_TXT, "It is only CLOSED: check it when it is over."),
    ],
)
def test_what_is_missing_is_asked_for(
    tmp_path: Path, record: Record, entrants_txt: bytes | None, said: str
) -> None:
    done = checked(tmp_path, record, entrants_txt)
    assert (done.stderr.strip(), done.returncode) == (said, 1)


def test_another_list_does_not(tmp_path: Path) -> None:
    done = checked(tmp_path, FIRST, records.ENTRANTS_TXT + b"zoe 1\n")
    assert done.returncode == 1
    assert "entrantsDigest is" in done.stderr


# The script as a function, so that it need not be started for each pair of files.
MANY = """
import * as crypto from "node:crypto";
import { readFileSync } from "node:fs";
const body = readFileSync("check.mjs", "utf8").replace(/^import .*$/gm, "");
const check = new Function("createHash", "createHmac", "readFileSync", "process", "console", body);
for (const pair of JSON.parse(readFileSync("pairs.json", "utf8"))) {
  let passed = false;
  const process = { argv: ["", "", 0, 1], exit: () => { throw new Error("1"); } };
  const said = { log: () => { passed = true; }, error: () => {} };
  const read = (index) => Buffer.from(pair[index], "base64");
  try { check(crypto.createHash, crypto.createHmac, read, process, said); } catch {}
  console.log(passed);
}
"""


def test_no_changed_byte_checks_out(tmp_path: Path) -> None:
    chance = random.Random(5)  # noqa: S311 - must repeat
    pairs, expected = [], []
    for record in [*records.all_drawn(), records.claiming_dice()]:
        true = (msgspec.json.encode(record), records.ENTRANTS_TXT)
        twice = (true[0][:-1] + b',"number":1}', true[1])
        forged = [*records.mutations(*true, chance)]
        pairs += [true, twice, *forged]
        expected += ["true", *["false"] * (len(forged) + 1)]
    encoded = [[base64.b64encode(content).decode() for content in pair] for pair in pairs]
    (tmp_path / "check.mjs").write_text(script())
    (tmp_path / "many.mjs").write_text(MANY)
    (tmp_path / "pairs.json").write_text(json.dumps(encoded))
    done = run(tmp_path, "many.mjs")
    assert done.stdout.split() == expected, done.stderr
    assert len(expected) > 4_000


@pytest.mark.parametrize("vector", [*vectors.DRAWS, *vectors.CLAIMING_DRAWS])
def test_the_vectors_are_told(vector: Sequence[Any]) -> None:
    _, _, size, plan_digest, seed, *_ = vector
    for told in (f"| {size} bytes |", f"| `{plan_digest}` |", f"| `{seed}` |"):
        assert told in README.read_text()


def test_the_script_is_short() -> None:
    assert len(script().splitlines()) <= 54

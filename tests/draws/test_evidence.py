"""One archive with which anybody may check a draw, and see what happened around it."""

import io
import zipfile
from typing import Any

import msgspec
import pytest

from app.database.engine import fetch
from app.draws.record import check
from tests.draws.conftest import Stage, weigh


async def opened(stage: Stage, number: int = 1) -> dict[str, bytes]:
    answer = await stage.send("GET", f"/{number}/evidence.zip")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="draw-{number}.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


async def test_a_draw_is_checked_with_nothing_but_its_evidence(stage: Stage) -> None:
    await stage.announce(weightKey="tickets")
    await weigh("ann", {"tickets": 3})
    await stage.ok("POST", "/1/close")
    await stage.ok("POST", "/1/draw")

    files = await opened(stage)

    record, entrants = await stage.files()
    assert list(files) == [
        *("README.txt", "record.json", "entrants.txt", "verify.html", "audit.json", "room.json")
    ]
    assert msgspec.json.decode(files["record.json"]) == msgspec.json.decode(record)
    assert files["entrants.txt"] == entrants
    assert check(files["record.json"], files["entrants.txt"]).passed
    audit: Any = msgspec.json.decode(files["audit.json"])
    assert [event["what"] for event in audit if event["step"]] == [
        *("announce draw", "close draw", "fix public input", "draw winners")
    ]
    assert [event["changes"] for event in audit if not event["step"]] == [["ann: weight none → 3"]]
    assert b"<script>" in files["verify.html"]
    assert all(f"\n{name} " in files["README.txt"].decode() for name in [*files][1:])


async def test_a_draw_that_was_cancelled_early_has_no_entrants(stage: Stage) -> None:
    await stage.announce()
    await stage.send("DELETE", "/1", json={"reason": "rain"})

    files = await opened(stage)

    assert "entrants.txt" not in files
    assert check(files["record.json"], None).passed


async def test_another_draw_s_changes_and_hidden_settings_are_not_in_it(stage: Stage) -> None:
    await stage.drawn(prizes=[{"id": "phone"}])
    await stage.announce(prizes=[{"id": "book", "quantity": 1}])
    await fetch("UPDATE prizes SET quantity = 9 WHERE id = 'book'")

    files = await opened(stage)

    audit: Any = msgspec.json.decode(files["audit.json"])
    assert {event["draw"] for event in audit} == {1}
    assert all(event["step"] for event in audit)
    assert not [
        name
        for name in ("max@", "ann@", "@example.org")
        if name.encode()
        in b"".join(content for file, content in files.items() if file != "verify.html")
    ]


@pytest.mark.parametrize("by", ["ann", "outsider", None])
async def test_it_is_for_moderators_to_hand_on(stage: Stage, by: str | None) -> None:
    await stage.drawn()
    refused = await stage.send("GET", "/1/evidence.zip", by=by)
    assert refused.status_code == (401 if by is None else 403)


async def test_there_is_none_of_no_draw(stage: Stage) -> None:
    refused = await stage.send("GET", "/7/evidence.zip")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "NOT_FOUND")

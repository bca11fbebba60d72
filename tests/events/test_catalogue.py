"""Each event of the catalogue: what causes it, what it says, to whom, and what is none."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

from app.claims.service import expire
from app.database.engine import fetch, fetchval
from app.events.catalogue import EVENTS
from tests import factories
from tests.events.conftest import Event, Log
from tests.events.scene import HIDDEN, SETTINGS, Scene


class Action(NamedTuple):
    """Something that somebody does over HTTP."""

    causes: Sequence[str]
    """Exactly these events, in their order."""
    act: Callable[[Scene], Awaitable[Any]]
    before: Callable[[Scene], Awaitable[Any]] | None = None
    """What has to be done first."""
    person: str | None = None
    """Whom the events that concern a person concern."""
    says: Mapping[str, Any] = MappingProxyType({})
    """What the first event says beside `data`."""


def plan(scene: Scene) -> dict[str, Any]:
    prizes = [{"id": scene.id_of("prize"), "quantity": 1}]
    return {"prizes": prizes, "onePrizeEach": False}


async def announce(scene: Scene) -> None:
    await scene.ok("POST", "/draws", plan(scene))


async def close(scene: Scene) -> None:
    await announce(scene)
    await scene.ok("POST", "/draws/1/close")


async def leave(scene: Scene) -> None:
    await scene.ok("DELETE", "/participants/me", by="paul")


async def open_room(scene: Scene) -> None:
    await scene.ok(
        "POST",
        "/api/v1/rooms",
        {
            "name": "Another",
            "appId": scene.rows["app"]["appId"],
            "appSettings": SETTINGS,
            "isPublic": scene.rows["room"]["isPublic"],
        },
    )


async def bring(scene: Scene) -> None:
    await scene.ok("POST", "/participants", {"userId": scene.id_of("nora")})


async def expect(scene: Scene) -> None:
    body = {"email": scene.people["nora"]["email"], "name": "Expected"}
    await scene.ok("POST", "/participants", body)


async def replace(scene: Scene) -> None:
    await scene.ok("DELETE", f"/winners/{scene.id_of('winner')}")


async def another_organizer(scene: Scene) -> None:
    await fetch("UPDATE participants SET role = 'ORGANIZER' WHERE id = $1", scene.id_of("player"))


async def ask(scene: Scene) -> None:
    await scene.ok("POST", "/rounds", {"questionId": "reindeer"})


async def open_round(scene: Scene) -> str:
    """Return the address of the room's round."""
    [asked] = await scene.ok("GET", "/rounds")
    return f"/rounds/{asked['id']}"


def answering(index: int) -> Callable[[Scene], Awaitable[Any]]:
    async def act(scene: Scene) -> None:
        path = f"{await open_round(scene)}/answers"
        await scene.ok("POST", path, {"answerIndex": index}, by="paul")

    return act


async def close_round(scene: Scene) -> None:
    await scene.ok("POST", f"{await open_round(scene)}/close")


async def win(scene: Scene) -> None:
    await ask(scene)
    await answering(1)(scene)


async def win_to_claim(scene: Scene, **values: Any) -> None:
    claim = {"claimStatus": "PENDING", "claimBy": factories.now() + timedelta(days=1)} | values
    scene.rows["claimed"] = await factories.winner(
        scene.id_of("room"), scene.id_of("player"), scene.id_of("prize"), **claim
    )
    await fetch('UPDATE prizes SET "quantityRemaining" = 2 WHERE id = $1', scene.id_of("prize"))


async def win_overdue(scene: Scene) -> None:
    await win_to_claim(scene, claimBy=factories.now() - timedelta(seconds=1))


async def expire_overdue(scene: Scene) -> None:
    await expire(scene.id_of("prize"))


def settling(how: str) -> Callable[[Scene], Awaitable[Any]]:
    return lambda s: s.ok("POST", f"/winners/{s.id_of('claimed')}/{how}", by="paul")


def of_room(change: dict[str, Any]) -> Callable[[Scene], Awaitable[Any]]:
    return lambda s: s.ok("PATCH", "", change)


def of_prize(change: dict[str, Any]) -> Callable[[Scene], Awaitable[Any]]:
    return lambda s: s.ok("PATCH", f"/prizes/{s.id_of('prize')}", change)


def of_player(change: dict[str, Any]) -> Callable[[Scene], Awaitable[Any]]:
    return lambda s: s.ok("PATCH", f"/participants/{s.id_of('player')}", change)


ACTIONS = {
    "open a room": Action(["room.created", "participant.joined"], open_room, person="olga"),
    "rename it": Action(
        ["room.updated"], of_room({"name": "New"}), person="olga", says={"changed": ["name"]}
    ),
    "change its hidden settings": Action(
        ["room.updated"],
        of_room({"appSettings": {**SETTINGS, "answer": f"{HIDDEN}-2"}}),
        person="olga",
        says={"changed": ["appSettings"]},
    ),
    "rename and complete it": Action(
        ["room.updated", "room.status_changed"],
        of_room({"description": "Over", "status": "COMPLETED"}),
        person="olga",
        says={"changed": ["description"]},
    ),
    "complete it": Action(
        ["room.status_changed"],
        of_room({"status": "COMPLETED"}),
        person="olga",
        says={"before": "ACTIVE", "after": "COMPLETED"},
    ),
    "hand it over": Action(
        ["room.updated"],
        lambda s: s.ok("PATCH", "", {"createdBy": s.id_of("paul")}),
        another_organizer,
        person="paul",
        says={"changed": ["createdBy", "organizer"]},
    ),
    "delete it": Action(["room.deleted"], lambda s: s.ok("DELETE"), person="olga"),
    "delete it with a draw": Action(
        ["draw.cancelled", "room.deleted"], lambda s: s.ok("DELETE"), announce, person="olga"
    ),
    "bring in": Action(["participant.joined"], bring, person="nora"),
    "expect by an address": Action(["participant.joined"], expect),
    "take up what one was brought in for": Action(
        ["participant.updated"],
        lambda s: s.ok("POST", "/participants", by="nora"),
        expect,
        person="nora",
        says={"changed": ["user", "userId"]},
    ),
    "come back": Action(
        ["participant.joined"],
        lambda s: s.ok("POST", "/participants", {"userId": s.id_of("paul")}),
        leave,
        person="paul",
    ),
    "change a role": Action(
        ["participant.updated"],
        of_player({"role": "MODERATOR"}),
        person="paul",
        says={"changed": ["role"]},
    ),
    "change metadata": Action(
        ["participant.updated"],
        of_player({"metadata": {"seat": 8}}),
        person="paul",
        says={"changed": ["metadata"]},
    ),
    "leave": Action(["participant.left"], leave, person="paul"),
    "take out": Action(
        ["participant.left"],
        lambda s: s.ok("DELETE", f"/participants/{s.id_of('player')}"),
        person="paul",
    ),
    "put up a prize": Action(
        ["prize.created"], lambda s: s.ok("POST", "/prizes", {"name": "Bicycle"})
    ),
    "change a prize": Action(
        ["prize.updated"],
        of_prize({"name": "Car", "quantity": 9, "metadata": None}),
        says={"changed": ["metadata", "name", "quantity"]},
    ),
    "take a prize back": Action(
        ["prize.deleted"], lambda s: s.ok("DELETE", f"/prizes/{s.id_of('prize')}")
    ),
    "award": Action(
        ["winner.awarded"],
        lambda s: s.ok(
            *("POST", "/winners"),
            {"participantId": s.id_of("player"), "prizeId": s.id_of("prize"), "metadata": {"a": 1}},
        ),
        person="paul",
    ),
    "revoke": Action(["winner.revoked"], replace, person="paul"),
    "claim": Action(["winner.claimed"], settling("claim"), win_to_claim, person="paul"),
    "decline": Action(["winner.declined"], settling("decline"), win_to_claim, person="paul"),
    "come too late": Action(["winner.expired"], expire_overdue, win_overdue, person="paul"),
    "announce": Action(["draw.announced"], announce),
    "close": Action(["draw.closed"], lambda s: s.ok("POST", "/draws/1/close"), announce),
    "draw": Action(
        ["winner.awarded", "draw.drawn"],
        lambda s: s.ok("POST", "/draws/1/draw"),
        close,
        person="paul",
    ),
    "draw at once": Action(
        ["draw.announced", "draw.closed", "winner.awarded", "draw.drawn"],
        lambda s: s.ok("POST", "/draws", {**plan(s), "immediate": True}),
        person="paul",
    ),
    "draw again": Action(
        ["draw.announced", "draw.closed", "winner.awarded", "draw.drawn"],
        lambda s: s.ok(
            *("POST", "/draws"),
            {"immediate": True, "replaces": s.id_of("winner"), "allowRevoked": True},
        ),
        replace,
        person="paul",
    ),
    "cancel": Action(
        ["draw.cancelled"], lambda s: s.ok("DELETE", "/draws/1", {"reason": "Rain."}), announce
    ),
    "start a quiz": Action(["quiz.started"], lambda s: s.ok("POST", "/quiz")),
    "ask": Action(["quiz.started", "round.opened"], ask),
    "ask the next": Action(
        ["round.closed", "round.opened"],
        lambda s: s.ok("POST", "/rounds", {"questionId": "tree"}),
        ask,
    ),
    "answer": Action(["answer.submitted"], answering(0), ask, person="paul"),
    "answer first": Action(
        ["answer.submitted", "winner.awarded", "round.closed"], answering(1), ask, person="paul"
    ),
    "close a round": Action(["round.closed"], close_round, ask),
    "finish a quiz": Action(["quiz.finished"], lambda s: s.ok("POST", "/quiz/finish"), win),
    "break a quiz off": Action(
        ["round.closed", "quiz.finished"], lambda s: s.ok("POST", "/quiz/finish"), ask
    ),
}
NAMING = {"room", "participant", "winner", "round", "answer"}
"""What concerns a person."""
GONE = {
    *("room.deleted", "participant.left", "prize.deleted"),
    *("winner.revoked", "winner.declined", "winner.expired"),
}


def test_each_event_of_the_catalogue_has_an_action() -> None:
    assert {type_ for action in ACTIONS.values() for type_ in action.causes} == EVENTS.keys()


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
@pytest.mark.parametrize("name", ACTIONS)
async def test_what_is_done_is_told(
    client: httpx.AsyncClient, log: Log, name: str, *, is_public: bool
) -> None:
    scene, action = await Scene(client).build(is_public=is_public), ACTIONS[name]
    if action.before is not None:
        await action.before(scene)
    await log.news()

    await action.act(scene)
    news = await log.news()

    assert [each.type for each in news] == action.causes
    assert len({each.id for each in news}) == len(news)
    said = {key: value for key, value in news[0].content.items() if key != "data"}
    assert said == action.says
    for event in news:
        assert event.audience == ("readers" if is_public else "members")
        named = event.type.split(".")[0] in NAMING
        expected = scene.id_of(action.person) if named and action.person else None
        assert event.person == expected
        assert set(event.content.get("changed", [])) <= event.content["data"].keys()
        if is_public:
            await compare(client, event)
    await check_secrets(scene, news)


async def compare(client: httpx.AsyncClient, event: Event) -> None:
    """Find in an event what a GET by somebody without rights answers."""
    told = event.content["data"]
    kind = event.type.partition(".")[0]
    place = f"/api/v1/rooms/{event.room}"
    if kind == "draw":
        answer = (await client.get(f"{place}/draws")).json()["data"]
        shown = next(each for each in answer if each["id"] == event.subject)
    elif event.type in GONE:
        assert told["id"] == event.subject
        assert told["deletedAt"] is not None
        return
    else:
        places = {
            "room": "",
            "quiz": "/quiz",
            "answer": f"/rounds/{told.get('roundId')}/answers/{event.subject}",
        }
        url = place + places.get(kind, f"/{kind}s/{event.subject}")
        shown = (await client.get(url)).json()["data"]
        shown.get("app", {}).pop("manifest", None)
    assert told == shown


async def check_secrets(scene: Scene, news: Sequence[Event]) -> None:
    texts = " ".join(each.text for each in news)
    assert HIDDEN not in texts
    assert "correctIndex" not in texts
    assert "@" not in texts
    if any(each.type.startswith("draw.") for each in news):
        over = news[-1].type in {"draw.drawn", "draw.cancelled"} or "draw.cancelled" in {
            each.type for each in news
        }
        assert over or await scene.draw_secret() not in texts


def patched(change: Any, path: str = "") -> Callable[[Scene], Awaitable[httpx.Response]]:
    return lambda s: s.send("PATCH", path, change)


def stale(method: str, kind: str) -> Callable[[Scene], Awaitable[httpx.Response]]:
    def send(scene: Scene) -> Awaitable[httpx.Response]:
        path = "" if kind == "room" else f"/{kind}s/{scene.id_of(kind)}"
        body = {"name": "New"} if method == "PATCH" else None
        return scene.send(method, path, body, if_match='"1"')

    return send


async def award_all(scene: Scene) -> None:
    await fetch('UPDATE prizes SET "quantityRemaining" = 0 WHERE id = $1', scene.id_of("prize"))


def awarded(scene: Scene, prize: str = "prize", **given: Any) -> Awaitable[httpx.Response]:
    body = {"participantId": scene.id_of("player"), "prizeId": scene.id_of(prize)}
    return scene.send("POST", "/winners", body, **given)


REFUSED: dict[str, tuple[int, Callable[[Scene], Awaitable[httpx.Response]]]] = {
    "a room without a name": (400, patched({"name": ""})),
    "settings that don't fit": (400, patched({"appSettings": {"ticketCount": 0}})),
    "a prize of none": (400, lambda s: s.send("POST", "/prizes", {"name": "x", "quantity": 0})),
    "a player's question": (403, lambda s: s.send("POST", "/rounds", {}, by="paul")),
    "an unknown question": (404, lambda s: s.send("POST", "/rounds", {"questionId": "none"})),
    "nobody's": (401, lambda s: s.send("DELETE", by=None)),
    "an outsider's": (403, lambda s: s.send("PATCH", "", {"name": "x"}, by="nora")),
    "a player's prize": (403, lambda s: s.send("POST", "/prizes", {"name": "x"}, by="paul")),
    "a player's award": (403, lambda s: awarded(s, by="paul")),
    "a player's draw": (403, lambda s: s.send("POST", "/draws", {}, by="paul")),
    "an unknown prize": (404, patched({"name": "x"}, "/prizes/none")),
    "an unknown participant": (404, lambda s: s.send("DELETE", "/participants/none")),
    "an unknown winner": (404, lambda s: s.send("DELETE", "/winners/none")),
    "no such step": (409, patched({"status": "DRAFT"})),
    "a win that one has": (409, lambda s: awarded(s, "won")),
    "the last organizer": (409, lambda s: s.send("DELETE", "/participants/me")),
    "joining twice": (409, lambda s: s.send("POST", "/participants", by="paul")),
    "bringing in twice": (
        409,
        lambda s: s.send("POST", "/participants", {"userId": s.id_of("paul")}),
    ),
    "a prize that was won": (409, lambda s: s.send("DELETE", f"/prizes/{s.id_of('won')}")),
    "an outdated room": (412, stale("PATCH", "room")),
    "an outdated deletion": (412, stale("DELETE", "room")),
    "an outdated prize": (412, stale("PATCH", "prize")),
    "an outdated winner": (412, stale("DELETE", "winner")),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_not_told(client: httpx.AsyncClient, log: Log, name: str) -> None:
    status, act = REFUSED[name]
    scene = await Scene(client).build()
    await log.news()

    answer = await act(scene)

    assert answer.status_code == status, answer.text
    assert await fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_award_without_stock_is_not_told(client: httpx.AsyncClient, log: Log) -> None:
    scene = await Scene(client).build()
    await award_all(scene)
    await log.news()

    assert (await awarded(scene)).status_code == 400

    assert await log.news() == []


@pytest.mark.parametrize(
    "act",
    [
        of_room({"name": "New Year Lottery", "isPublic": True, "status": "ACTIVE"}),
        of_room({"appSettings": dict(reversed(SETTINGS.items()))}),
        of_prize({"name": "Headphones", "quantity": 3, "metadata": {"size": "M"}}),
        of_player({"role": "PARTICIPANT", "metadata": {"seat": 7}}),
    ],
)
async def test_a_change_of_nothing_is_no_event(
    client: httpx.AsyncClient, log: Log, act: Callable[[Scene], Awaitable[Any]]
) -> None:
    scene = await Scene(client).build()
    await log.news()

    await act(scene)

    assert await log.news() == []


async def test_an_award_that_is_sent_again_is_told_once(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    await log.news()

    first = await awarded(scene, idempotency_key="one")
    again = await awarded(scene, idempotency_key="one")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert await log.types() == ["winner.awarded"]


async def test_what_only_the_operator_could_have_written_keeps_no_event_back(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    await log.news()

    await fetch(
        'UPDATE rooms SET "appSettings" = $2 WHERE id = $1',
        *(scene.id_of("room"), "[" * 5_000 + "]" * 5_000),
    )
    await fetch("UPDATE prizes SET metadata = '[]' WHERE id = $1", scene.id_of("prize"))
    await factories.prize(scene.id_of("room"))
    news = await log.news()

    assert [each.type for each in news] == ["room.updated", "prize.updated", "prize.created"]
    assert news[0].content["data"] == {"id": scene.id_of("room")}

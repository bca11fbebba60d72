"""Signing in with a code that is sent by mail: good once, for a while, for who asked for it."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest

from app.auth import codes, sessions
from app.auth.codes import MOST_ASKED, MOST_TRIES, code_of
from app.auth.people import person_of
from app.auth.tokens import TokenPolicy
from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.mails import at_once
from app.mails.at_once import sending_at_once
from app.mails.composing import compose
from app.mails.reading import CONTENTS, Letter, letters_of
from app.mails.stops import Stop, stop
from app.settings import Environment, Settings
from app.sign_in import service
from tests import factories
from tests.answers import Headers
from tests.answers import code_of as error_of
from tests.auth.conftest import counted_statements
from tests.mails.server import Mailbox, receiving
from tests.waiting import eventually

ANNA = "anna@example.org"
WITH_MAIL = Settings(MAIL_URL="smtp://127.0.0.1", MAIL_FROM="prizes@example.org")
CODE, LOGIN, API = "/api/v1/auth/email/code", "/api/v1/auth/email/login", "/api/v1"


async def ask(client: httpx.AsyncClient, email: str = ANNA, **members: str) -> str:
    """Ask for a code, and return the challenge."""
    answer = await client.post(CODE, json={"email": email, **members})
    assert answer.status_code == 202, answer.text
    challenge: str = answer.json()["data"]["challenge"]
    return challenge


async def sent_to(email: str = ANNA) -> str:
    """Return the digits that an address got last."""
    row = await fetchrow("SELECT id, kid FROM sign_in_codes WHERE email = $1", email)
    assert row is not None
    digits = code_of(row["id"], row["kid"])
    assert digits is not None
    return digits


def wrong(digits: str) -> str:
    return f"{(int(digits) + 1) % 10**6:06}"


async def log_in(client: httpx.AsyncClient, challenge: str, digits: str) -> httpx.Response:
    return await client.post(LOGIN, json={"challenge": challenge, "code": digits})


async def statuses(*requests: Any) -> list[int]:
    return sorted(answer.status_code for answer in await asyncio.gather(*requests))


async def letters() -> Sequence[Letter | str]:
    return [*letters_of(await fetch(f'{CONTENTS} ORDER BY m."createdAt"')).values()]


async def people() -> list[str]:
    return [row["id"] for row in await fetch("SELECT id FROM users ORDER BY id")]


# Who comes in


async def test_a_first_sign_in_makes_a_person_of_a_verified_address(
    client: httpx.AsyncClient,
) -> None:
    challenge = await ask(client, "  Anna@EXAMPLE.org ".strip())
    answer = await log_in(client, challenge, await sent_to())

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    data = answer.json()["data"]
    assert (data["user"]["email"], data["user"]["name"]) == (ANNA, None)
    headers = {"Authorization": f"Bearer {data['accessToken']}"}
    assert (await client.get(f"{API}/auth/me", headers=headers)).json()["data"]["email"] == ANNA
    (person,) = await fetch("SELECT * FROM users")
    assert person["emailVerified"] is not None
    assert (person["provider"], person["providerId"]) == ("email", None)


async def test_a_known_address_is_its_persons_and_what_waits_for_it_is_theirs(
    client: httpx.AsyncClient,
) -> None:
    anna = await factories.user(email=ANNA, emailVerified=None)
    room = await factories.room(isPublic=False)
    seat = await factories.expected(room["id"], ANNA)
    before = await people()

    answer = await log_in(client, await ask(client), await sent_to())

    assert answer.json()["data"]["user"]["id"] == anna["id"]
    assert await people() == before
    headers = {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}
    me = await client.get(f"{API}/rooms/{room['id']}/participants/me", headers=headers)
    assert me.json()["data"]["id"] == seat["id"]


async def test_a_deleted_person_stays_out_and_keeps_the_code(client: httpx.AsyncClient) -> None:
    await factories.user(email=ANNA, deletedAt=factories.now())
    challenge = await ask(client)
    refused = await log_in(client, challenge, await sent_to())
    assert (refused.status_code, error_of(refused)) == (403, "ACCOUNT_DELETED")
    assert await fetchval("SELECT count(*) FROM sessions") == 0
    assert await fetchval('SELECT "usedAt" FROM sign_in_codes') is None


async def test_first_sign_ins_at_once_make_one_person(database: str) -> None:  # noqa: ARG001 - bound
    async def come() -> str:
        async with transaction():
            found: str = (await person_of(ANNA))["id"]
            await asyncio.sleep(0.02)
            return found

    assert len({await each for each in asyncio.as_completed([come() for _ in range(5)])}) == 1
    assert len(await people()) == 1


# What a code is good for


async def test_a_code_serves_once_also_at_once(client: httpx.AsyncClient) -> None:
    challenge = await ask(client)
    digits = await sent_to()
    answers = await statuses(*(log_in(client, challenge, digits) for _ in range(4)))
    assert answers == [200, 401, 401, 401]
    assert (await log_in(client, challenge, digits)).status_code == 401
    assert await fetchval("SELECT count(*) FROM sessions") == 1


async def test_of_ten_tries_at_once_no_more_than_five_are_compared(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge = await ask(client)
    digits = await sent_to()
    compared: list[str] = []

    def count(id_: str, kid: str) -> str | None:
        compared.append(id_)
        return code_of(id_, kid)

    monkeypatch.setattr(codes, "code_of", count)
    answers = await statuses(*(log_in(client, challenge, wrong(digits)) for _ in range(10)))
    assert answers == [401] * 10
    assert len(compared) == MOST_TRIES

    late = await log_in(client, challenge, digits)
    assert (late.status_code, error_of(late)) == (401, "INVALID_CREDENTIALS")
    assert await people() == []


async def test_the_fifth_try_may_be_the_right_one(client: httpx.AsyncClient) -> None:
    challenge = await ask(client)
    digits = await sent_to()
    for _ in range(MOST_TRIES - 1):
        assert (await log_in(client, challenge, wrong(digits))).status_code == 401
    assert (await log_in(client, challenge, digits)).status_code == 200


async def test_a_code_is_worth_nothing_to_who_did_not_ask_for_it(
    client: httpx.AsyncClient,
) -> None:
    """Neither to who reads it over a shoulder, nor to who asked for one of another address."""
    theirs = await ask(client, "mallory@example.org")
    await ask(client)
    digits = await sent_to()
    for challenge in (theirs, "A" * 43):
        assert (await log_in(client, challenge, digits)).status_code == 401
    assert await fetchval("SELECT tries FROM sign_in_codes WHERE email = $1", ANNA) == 0


async def test_who_asks_in_anothers_name_gets_in_only_with_what_the_other_got(
    client: httpx.AsyncClient,
) -> None:
    """The link holds the digits and no challenge: who clicks it sends nobody else in."""
    await ask(client)
    (letter,) = await letters()
    assert isinstance(letter, Letter)
    assert letter.code_url is not None
    assert letter.code_url.endswith(f"/sign-in?language=en#{await sent_to()}")
    assert (await client.get("/sign-in?language=en")).status_code == 200
    assert await people() == []


async def test_a_new_code_ends_the_one_before(client: httpx.AsyncClient) -> None:
    first = await ask(client)
    old = await sent_to()
    second = await ask(client)
    assert (await log_in(client, first, old)).status_code == 401
    assert (await log_in(client, first, await sent_to())).status_code == 401
    assert (await letters())[0] == "The code is not good any more."
    assert (await log_in(client, second, await sent_to())).status_code == 200


async def test_a_code_grows_old(client: httpx.AsyncClient) -> None:
    challenge = await ask(client)
    await fetch('UPDATE sign_in_codes SET "expiresAt" = now()')
    assert (await log_in(client, challenge, await sent_to())).status_code == 401
    assert await letters() == ["The code is not good any more."]


async def test_the_digits_are_kept_nowhere_and_are_their_own_each_time(
    client: httpx.AsyncClient,
) -> None:
    challenges, seen = [], set()
    for number in range(20):
        address = f"p{number}@example.org"
        challenges.append(await ask(client, address))
        seen.add(await sent_to(address))
    assert len(seen) >= 19
    assert all(len(digits) == 6 and digits.isdigit() for digits in seen)
    kept = str(
        [await fetch(f"SELECT t::text FROM {name} t") for name in ("sign_in_codes", "mails")]
    )
    assert not [secret for secret in challenges if secret in kept]
    # Times and hashes have digits of their own; no column has these.
    rows = await fetch("SELECT to_jsonb(t) AS row FROM sign_in_codes t")
    assert not [digits for digits in seen for row in rows if f'"{digits}"' in row["row"]]


async def test_a_code_of_a_secret_that_is_gone_is_worth_nothing(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def secrets(*known: str) -> None:
        policy = TokenPolicy.of(known, issuer="x", audience="x")
        for module in (codes, sessions):
            monkeypatch.setattr(module, "token_policy", lambda: policy)

    secrets("old" * 12)
    challenge = await ask(client)
    digits = await sent_to()
    secrets("new" * 12, "old" * 12)
    assert await sent_to() == digits
    secrets("new" * 12)
    assert (await log_in(client, challenge, digits)).status_code == 401
    assert await letters() == ["The code's secret is gone."]


# What is told to who asks


async def test_nobody_learns_whether_an_address_is_known(client: httpx.AsyncClient) -> None:
    await factories.user(email=ANNA)
    await factories.user(email="gone@example.org", deletedAt=factories.now())
    asked = []
    for email in (ANNA, "gone@example.org", "nobody@example.org"):
        async with counted_statements() as statements:
            challenge = await ask(client, email)
        asked.append((len(challenge), statements))
    assert asked[0] == asked[1] == asked[2]
    assert not [each for each in asked[0][1] if "users" in each]
    answers = [
        await log_in(client, await ask(client, email), wrong(await sent_to(email)))
        for email in (ANNA, "gone@example.org", "nobody@example.org")
    ]
    told = [answer.json()["error"] | {"requestId": ""} for answer in answers]
    assert told[0] == told[1] == told[2]


async def test_an_address_gets_ten_codes_a_day_however_many_are_asked_at_once(
    client: httpx.AsyncClient,
) -> None:
    wishes = (client.post(CODE, json={"email": ANNA}) for _ in range(MOST_ASKED + 5))
    assert await statuses(*wishes) == [202] * MOST_ASKED + [429] * 5
    refused = await client.post(CODE, json={"email": ANNA.upper()})
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
    assert await fetchval("SELECT count(*) FROM mails") == MOST_ASKED
    await ask(client, "other@example.org")
    await ask(client, "anna+1@example.org")  # may be somebody else's: it is another address

    await fetch('UPDATE sign_in_codes SET "askedSince" = "askedSince" - interval \'1 day\'')
    await ask(client)
    assert await fetchval("SELECT asked FROM sign_in_codes WHERE email = $1", ANNA) == 1


@pytest.mark.parametrize(
    "email",
    [
        "anna@example.org\r\nBcc: all@example.org",
        "anna@example.org\n",
        "anna@exam\u212ale.org",
        "\u0430nna@example.org",  # Cyrillic, among Latin letters
        "anna,boris@example.org",
        "anna boris@example.org",
        "anna",
        "",
    ],
)
async def test_what_is_no_address_or_looks_like_another_gets_none(
    client: httpx.AsyncClient, email: str
) -> None:
    answer = await client.post(CODE, json={"email": email})
    if email.strip() == ANNA:  # what surrounds an address is taken away everywhere
        assert answer.status_code == 202
        return
    assert (answer.status_code, list(answer.json()["error"]["details"]["fields"])) == (
        400,
        ["$.email"],
    )
    assert await fetchval("SELECT count(*) FROM mails") == 0


@pytest.mark.parametrize("digits", ["12345", "1234567", "12345a", "١٢٣٤٥٦", "123 56"])
async def test_what_is_no_code_is_no_try(client: httpx.AsyncClient, digits: str) -> None:
    answer = await log_in(client, await ask(client), digits)
    assert answer.status_code == 400
    assert await fetchval("SELECT tries FROM sign_in_codes") == 0


async def test_without_a_mail_server_production_sends_none(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = Settings(ENVIRONMENT=Environment.PRODUCTION)
    monkeypatch.setattr(service, "settings", lambda: production)
    answer = await client.post(CODE, json={"email": ANNA})
    assert (answer.status_code, error_of(answer)) == (503, "MAIL_NOT_CONFIGURED")
    assert await fetchval("SELECT count(*) FROM sign_in_codes") == 0


# The mail


async def test_a_code_is_mailed_at_once_past_all_that_waits(
    client: httpx.AsyncClient, room: asyncpg.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = await factories.participant(room["id"])
    prize = await factories.prize(room["id"], 1, quantityRemaining=0)
    won = await factories.winner(room["id"], someone["id"], prize["id"])
    await factories.mail(won, status="PENDING")
    monkeypatch.setattr(service, "settings", lambda: WITH_MAIL)
    mailbox = Mailbox()
    async with receiving(mailbox) as server:
        url = f"smtp://127.0.0.1:{server.port}?tls=none"
        sending = Settings(MAIL_URL=url, MAIL_FROM="prizes@example.org")
        monkeypatch.setattr(at_once, "settings", lambda: sending)
        async with sending_at_once(), asyncio.timeout(10):
            await ask(client, language="ru")
            await eventually(partial(fetchval, "SELECT 1 FROM mails WHERE status = 'SENT'"))
    (mail,) = mailbox.mails
    assert mailbox.recipients == [ANNA]
    assert mail["Subject"] == "Ваш код для входа"
    assert mail["List-Unsubscribe"] is None
    for part in mail.iter_parts():
        assert await sent_to() in part.get_content()
    assert await sent_to() not in str(mail.items())
    left = await fetch("SELECT kind, status FROM mails ORDER BY kind")
    assert [tuple(row) for row in left] == [("code", "SENT"), ("you-won", "PENDING")]


async def test_a_mail_server_that_is_away_is_asked_again_by_the_next_minute(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "settings", lambda: WITH_MAIL)
    closed = Settings(MAIL_URL="smtp://127.0.0.1:1?tls=none", MAIL_FROM="prizes@example.org")
    monkeypatch.setattr(at_once, "settings", lambda: closed)
    async with sending_at_once(), asyncio.timeout(10):
        await ask(client)
        await eventually(partial(_waits_again, caplog))


async def _waits_again(caplog: pytest.LogCaptureFixture) -> bool:
    (row,) = await fetch("SELECT status, attempts FROM mails")
    return "Urgent mails wait" in caplog.text and tuple(row) == ("PENDING", 0)


async def test_nobody_stops_codes(client: httpx.AsyncClient) -> None:
    await stop(Stop.of("en", "you-won", ANNA))
    await ask(client)
    (letter,) = await letters()
    assert isinstance(letter, Letter)
    message = compose(letter)
    assert "List-Unsubscribe" not in message
    assert "/mails/stop" not in str(message.get_body(("plain",)))


# The page


@pytest.mark.parametrize(("query", "title"), [("", "Sign in"), ("?language=ru", "Войти")])
async def test_the_page_speaks_the_language_of_the_mail(
    client: httpx.AsyncClient, query: str, title: str
) -> None:
    page = await client.get(f"/sign-in{query}")
    assert f"<title>{title}</title>" in page.text
    assert "script-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"


async def test_a_code_comes_in_beside_a_session(client: httpx.AsyncClient) -> None:
    """Whoever is signed in already may sign in as somebody else: nothing is mixed up."""
    boris = await factories.user(email="boris@example.org")
    headers: Headers = await factories.bearer(boris)
    answer = await client.post(CODE, json={"email": ANNA}, headers=headers)
    challenge = answer.json()["data"]["challenge"]
    body = {"challenge": challenge, "code": await sent_to()}
    signed_in = await client.post(LOGIN, json=body, headers=headers)
    assert signed_in.json()["data"]["user"]["email"] == ANNA

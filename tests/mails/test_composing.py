"""What a mail says, to whom, and that nobody's name says anything else."""

import email
import re
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import Any

import asyncpg
import httpx
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from app.mails import composing, languages, stops
from app.mails.composing import compose
from app.mails.reading import CONTENTS, Letter, letters_of
from app.settings import Language, Settings
from app.visible_text import cleaned_line
from tests import factories
from tests.answers import Headers
from tests.mails.conftest import told, win

HOSTILE = (
    "Anna\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\u202e\x00&amp; {{ 7*7 }} %s"
)


def letter(**changes: Any) -> Letter:
    said: dict[str, Any] = {
        "id": "8a6f",
        "kind": "you-won",
        "language": "en",
        "address": "anna@example.org",
        "person": "Anna",
        "room": "New Year Lottery",
        "prize": "Headphones",
        "draw": 3,
        "draw_url": "http://127.0.0.1:8000/rooms/r/draws/3",
        "claim_by": None,
        "created_at": datetime(2026, 12, 31, 23, 0, tzinfo=UTC),
    }
    return Letter(**{**said, **changes})


def sent(message: EmailMessage) -> EmailMessage:
    """Return what arrives of it."""
    arrived = email.message_from_bytes(message.as_bytes(), policy=default)
    assert isinstance(arrived, EmailMessage)
    return arrived


def text_of(message: EmailMessage, subtype: str = "plain") -> str:
    part = message.get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content


class Page(HTMLParser):
    """What a mail program finds in the HTML part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_mail_says_what_was_won_where_and_where_to_check_it() -> None:
    mail = sent(compose(letter()))

    assert mail["Subject"] == "You have won: Headphones"
    assert mail["To"] == "anna@example.org"
    assert mail["From"] == "Prizes <prizes@example.org>"
    assert mail["Message-ID"] == "<8a6f@127.0.0.1>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "en"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    page = Page(text_of(mail, "html"))
    for words in (text_of(mail), page.words):
        for expected in ("Hello Anna,", "Headphones", "New Year Lottery"):
            assert expected in words
    draw = "http://127.0.0.1:8000/rooms/r/draws/3"
    stop = mail["List-Unsubscribe"].removeprefix("<").removesuffix(">")
    assert page.links == [draw, stop]
    assert draw in text_of(mail)
    assert stop in text_of(mail)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Say by 5 January 2027, 23:30 UTC that you take it"),
        ("ru", "До 5 января 2027, 23:30 UTC сообщите"),
    ],
)
def test_what_has_to_be_claimed_says_by_when(language: str, expected: str) -> None:
    by = datetime(2027, 1, 6, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    mail = sent(compose(letter(language=language, claim_by=by)))
    for words in (text_of(mail), Page(text_of(mail, "html")).words):
        assert expected in " ".join(words.split())


@pytest.mark.parametrize(
    ("claim", "needless"),
    [
        (("PENDING", timedelta(days=1)), None),
        (("PENDING", timedelta(0)), "The time to claim it is over."),
        (("CONFIRMED", timedelta(days=1)), None),
        (("DECLINED", timedelta(days=1)), "The win was declined."),
    ],
)
async def test_a_mail_knows_what_the_claim_has_come_to(
    room: asyncpg.Record,
    connection: asyncpg.Connection,
    claim: tuple[str, timedelta],
    needless: str | None,
) -> None:
    status, left = claim
    by, at = factories.now() + left, factories.now()
    somebody = await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    pending = {"claimStatus": "PENDING", "claimBy": by}
    await factories.winner(room["id"], somebody["id"], prize["id"], **pending)
    await told(connection)
    settled = '"claimStatus" = $1, "claimSettledAt" = $2, "claimSettledBy" = \'WINNER\''
    if status == "DECLINED":
        settled += ', "deletedAt" = $2'
    if status != "PENDING":
        await connection.execute(f"UPDATE winners SET {settled}", status, at)
    [row] = await connection.fetch(CONTENTS)
    assert row["needless"] == needless
    assert (row["claimBy"] is not None) == (status == "PENDING")


def test_addresses_of_any_length_are_written_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"{'a' * 60}.{'b' * 60}.example.org"
    there = Settings(PUBLIC_URL=f"https://{host}/events", MAIL_FROM=f"prizes@{host}")
    for module in (composing, stops):
        monkeypatch.setattr(module, "settings", lambda: there)
    address = f"{'c' * 64}@{host}"
    lines = compose(letter(address=address)).as_bytes().decode("ascii").splitlines()
    (link,) = [line for line in lines if line.startswith("List-Unsubscribe: ")]
    assert link.startswith(f"List-Unsubscribe: <https://{host}/events/mails/stop/en.you-won.")
    assert f"Message-ID: <8a6f@{host}>" in lines
    assert next(line for line in lines if line.endswith(address)).split()[-1] == address
    assert max(map(len, lines)) < 998


def test_nothing_in_a_mail_tells_that_it_was_read() -> None:
    page = Page(text_of(sent(compose(letter())), "html"))
    assert not {"img", "link", "script", "iframe", "table"} & {*page.tags}
    assert "url(" not in text_of(sent(compose(letter())), "html")


@pytest.mark.parametrize("language", Language)
def test_hostile_names_are_names(language: Language) -> None:
    name = cleaned_line(HOSTILE)
    mail = sent(compose(letter(person=name, room=name, prize=name, language=language)))

    assert set(mail.keys()) == set(sent(compose(letter())).keys())
    assert mail["Bcc"] is None
    assert mail["To"] == "anna@example.org"
    html = text_of(mail, "html")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "49" not in html.replace(re.findall(r"/mails/stop/\S+", html)[0], "")
    assert Page(html).tags == Page(text_of(sent(compose(letter())), "html")).tags


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_no_name_adds_a_header_or_is_lost(name: str) -> None:
    shown = cleaned_line(name) or "…"
    message = compose(letter(prize=shown, room=shown, person=shown))
    mail = sent(message)
    assert set(mail.keys()) == set(message.keys())
    assert shown in text_of(mail)
    assert "".join(mail["Subject"].split()) == "".join(f"Youhavewon:{shown}".split())


async def test_names_from_the_database_are_one_line_each(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    await connection.execute("UPDATE rooms SET name = $1", HOSTILE.replace("\x00", "\x01"))
    await win(room, prize="A\nB", name="\u200b", email="anna@example.org")
    await told(connection)
    (found,) = letters_of(await connection.fetch(CONTENTS)).values()
    assert isinstance(found, Letter)
    assert found.prize == "A B"
    assert found.room.isprintable()
    assert found.person is None
    assert "Hello," in text_of(sent(compose(found)))


@pytest.mark.parametrize(
    "address",
    [
        "a..b@docomo.example",
        ".a.@example.org",
        "o'neil+x@example.org",
        "почта@xn--e1afmkfd.xn--p1ai",
    ],
)
def test_unusual_addresses_stay_as_they_are(address: str) -> None:
    message = compose(letter(address=address))
    (to,) = message["To"].addresses
    assert f"{to.username}@{to.domain}" == address
    assert sent(message)["To"].replace('"', "") == address


async def test_the_draw_is_linked_where_anybody_may_see_it(
    client: httpx.AsyncClient, connection: asyncpg.Connection, headers: Headers
) -> None:
    organizer = await factories.user(email="olga@example.org")
    room = await factories.room(organizer)
    await factories.participant(room["id"])
    await factories.prize(room["id"], 3)
    headers = await factories.bearer(organizer)
    api = f"/api/v1/rooms/{room['id']}"
    drawn = await client.post(f"{api}/draws", json={"immediate": True}, headers=headers)
    assert drawn.status_code == 201
    await told(connection)

    async def links() -> set[str | None]:
        letters = letters_of(await connection.fetch(CONTENTS)).values()
        assert {each.draw for each in letters if isinstance(each, Letter)} == {1}
        return {each.draw_url for each in letters if isinstance(each, Letter)}

    assert await links() == {f"http://127.0.0.1:8000/rooms/{room['id']}/draws/1"}
    await connection.execute("SET session_replication_role = replica")
    await connection.execute('UPDATE rooms SET "isPublic" = false')
    await connection.execute('UPDATE draws SET "wasPublic" = false')
    assert await links() == {None}


async def test_a_win_by_hand_can_claim_no_draw(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    winner = await win(room)
    await connection.execute("UPDATE winners SET metadata = '{\"draw\": 1}' WHERE id = $1", winner)
    await told(connection)
    (found,) = letters_of(await connection.fetch(CONTENTS)).values()
    assert isinstance(found, Letter)
    assert (found.draw, found.draw_url) == (None, None)
    assert "draw" not in text_of(sent(compose(found))).lower()


def test_mails_are_in_russian_where_that_is_wanted() -> None:
    mail = sent(compose(letter(language="ru", person="Анна", draw_url=None)))
    assert mail["Subject"] == "Вы выиграли: Headphones"
    assert "Здравствуйте, Анна!" in text_of(mail)
    assert "розыгрыше № 3" in text_of(mail, "html")
    assert mail["Content-Language"] == "ru"


def test_every_sentence_is_translated() -> None:
    found = extract_from_dir(
        languages.TEMPLATES,
        method_map=[("**", "jinja2.ext:babel_extract")],
        options_map={"**": {"newstyle_gettext": "true", "trimmed": "true"}},
    )
    said = {message for _, _, message, _, _ in found}
    assert len(said) > 10
    for language in {*Language} - {languages.WRITTEN_IN}:
        with (languages.CATALOGS / f"{language}.po").open("rb") as file:
            catalog = read_po(file, locale=language)
        assert {each.id for each in catalog if each.id} == said
        assert [each.id for each in catalog if not each.string or each.fuzzy] == []
        for each in catalog:
            assert each.check() == []


def test_without_a_sender_there_is_still_something_to_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(composing, "settings", Settings)
    assert sent(compose(letter()))["From"] == "nobody@localhost"

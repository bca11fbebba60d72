"""Settings: what is wrong is told in one line, by its name, before anything starts."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import MailServer, MailTls, SettingsError, load, settings
from tests.server import PRODUCTION, RANDOM_SECRET

READY = {**PRODUCTION, "DATABASE_URL": "postgresql://127.0.0.1/events"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "https://app.example,app.example"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_URL", "mysql://127.0.0.1/events"),
        ("DATABASE_URL", "postgresql://127.0.0.1:port/events"),
        ("DATABASE_URL", "postgresql://127.0.0.1/events?schema=other"),
        ("DRAND_URL", "api.drand.sh"),
        ("FRONTEND_URL", "app.example"),
        ("LOCK_SECONDS", "soon"),
        ("MAIL_DAYS", "2"),
        ("MAIL_FROM", "prizes"),
        ("MAIL_FROM", "Prizes prizes@example.org"),
        ("MAIL_FROM", "Prizes <prizes@example.org>\r\nBcc: all@example.org"),
        ("MAIL_LANGUAGE", "fr"),
        ("MAIL_LIMIT_ADDRESS", "20"),
        ("MAIL_LIMIT_ORGANIZER", "0/day"),
        ("MAIL_URL", "smtp.example.org"),
        ("MAIL_URL", "http://smtp.example.org"),
        ("MAIL_URL", "smtp://"),
        ("MAIL_URL", "smtp://smtp.example.org:mail"),
        ("MAIL_URL", "smtp://smtp.example.org:0"),
        ("MAIL_URL", "smtp://user@smtp.example.org"),
        ("MAIL_URL", "smtp://user:pass/word@smtp.example.org"),
        ("MAIL_URL", "smtp://user:password@smtp.example.org?tls=none"),
        ("MAIL_URL", "smtp://smtp.example.org?tls=maybe"),
        ("MAIL_URL", "smtp://smtp.example.org?starttls"),
        ("MAIL_URL", "smtps://smtp.example.org?tls=none"),
        ("MAIL_URL", "smtp://smtp.example.org/mails"),
        ("PUBLIC_URL", "https://events.example/mails"),
        ("PUBLIC_URL", "events.example"),
        ("PUBLIC_URL", "https://events.example/a b"),
        ("PUBLIC_URL", "https://events.example/a;b"),
        ("PUBLIC_URL", "https://events.example/a//b"),
        ("PUBLIC_URL", "https://events.example/../b"),
        ("PUBLIC_URL", "https://events.example/a?b=c"),
        ("PUBLIC_URL", "https://events.example/a#b"),
        ("PUBLIC_URL", "https://somebody@events.example"),
        ("PUBLIC_URL", "https:///events"),
        ("PUBLIC_URL", "https://events.example/api"),
        ("PUBLIC_URL", "https://events.example/admin/events"),
        ("PUBLIC_URL", "https://events.example/rooms/events"),
        ("REFRESH_GRACE_SECONDS", "-1"),
        ("REFRESH_GRACE_SECONDS", "61"),
        ("REFRESH_GRACE_SECONDS", "nan"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REQUEST_SECONDS", "-3"),
        ("STATEMENT_SECONDS", "0"),
        ("TRUSTED_PROXIES", "-1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        load({name: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "there is no file"), (b"\xd0\xff", "can't be read")]
)
def test_a_file_that_was_named_is_read_or_refused(
    content: bytes | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, a command would do its work in a development server's database."""
    file = tmp_path / "event-platform.env"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("ENV_FILE", str(file))
    with pytest.raises(SettingsError, match=told):
        settings.__wrapped__()


def test_the_environment_comes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("PUBLIC_URL=https://file.example\nFRONTEND_URL=https://file.example\n")
    monkeypatch.setattr(
        os, "environ", {"ENV_FILE": str(file), "PUBLIC_URL": "https://environment.example/"}
    )
    read = settings.__wrapped__()
    assert read.PUBLIC_URL == "https://environment.example"
    assert read.FRONTEND_URL == "https://file.example"


@pytest.mark.parametrize(
    "secret",
    [
        "x" * 48,
        "ab" * 24,
        "aB3$" * 12,
        "changeme" * 5,
        "0123456789" * 4,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "correct horse battery staple please now",
        "my super secret jwt key for the event platform",
        "Ju5t-4-L33t-S3cr3t-F0r-Pr0duct10n!",
        "совершенно-секретный-ключ-платформы",
    ],
)
@pytest.mark.parametrize("name", ["JWT_SECRET", "ADMIN_MFA_KEY"])
def test_production_refuses_a_secret_that_can_be_guessed(name: str, secret: str) -> None:
    good = {**READY, "ADMIN_MFA": "required", "ADMIN_MFA_KEY": RANDOM_SECRET}
    for given in (secret, f"{RANDOM_SECRET},{secret}"):
        with pytest.raises(SettingsError, match=f"{name} can be guessed") as refused:
            load({**good, name: given})
        assert secret not in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("make", [secrets.token_hex, secrets.token_urlsafe])
def test_a_random_secret_will_do(make: Callable[[int], str]) -> None:
    given = tuple(make(48) for _ in range(5))
    assert given == load({**READY, "JWT_SECRET": ",".join(given)}).JWT_SECRET


def test_production_wants_https_unless_it_is_told_otherwise() -> None:
    plain = {name: value for name, value in READY.items() if name != "ALLOW_HTTP"}
    for address in ({}, {"PUBLIC_URL": "http://events.example"}):
        with pytest.raises(SettingsError, match=r"PUBLIC_URL is http://.* ALLOW_HTTP=1"):
            load({**plain, **address})
        assert load({**plain, **address, "ALLOW_HTTP": "1"}).in_production
    assert load({**plain, "PUBLIC_URL": "https://events.example"}).in_production


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", MailServer("mail.example", 587, MailTls.STARTTLS)),
        ("smtp://127.0.0.1:25", MailServer("127.0.0.1", 25, MailTls.NONE)),
        ("smtp://[::1]", MailServer("::1", 587, MailTls.NONE)),
        ("smtp://localhost?tls=starttls", MailServer("localhost", 587, MailTls.STARTTLS)),
        ("smtp://mail.example:25?tls=none", MailServer("mail.example", 25, MailTls.NONE)),
        (
            "smtps://a%40b:p%2Fw@mail.example",
            MailServer("mail.example", 465, MailTls.AT_ONCE, "a@b", "p/w"),
        ),
    ],
)
def test_the_mail_server_is_read_from_its_address(url: str, server: MailServer) -> None:
    for sender in ("prizes@example.org", "The prizes <o'neil@example.org>"):
        assert load({"MAIL_URL": url, "MAIL_FROM": sender}).mail_server == server


def test_mails_come_from_somebody() -> None:
    with pytest.raises(SettingsError, match="MAIL_FROM"):
        load({"MAIL_URL": "smtp://127.0.0.1"})
    assert load({"MAIL_FROM": "prizes@example.org"}).mail_server is None


@pytest.mark.parametrize(
    ("url", "link"),
    [("", "http://127.0.0.1:8477/join"), ("https://events.example", "https://events.example/join")],
)
def test_links_lead_to_the_port_of_this_server_unless_public_url_is_set(
    monkeypatch: pytest.MonkeyPatch, url: str, link: str
) -> None:
    monkeypatch.setenv("LITESTAR_PORT", "8477")
    assert load({"PUBLIC_URL": url}).join_url == link

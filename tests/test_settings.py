"""Settings: what is wrong is told in one line, by its name, before anything starts."""

import os
from pathlib import Path

import pytest

from app.settings import SettingsError, load, settings


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
        ("PUBLIC_URL", "events.example"),
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

"""Administrators: making one, and giving one another password."""

import asyncio
import secrets
from datetime import datetime
from typing import NamedTuple

from app.admin.tables import Administrator
from app.database.engine import fetch, fetchval
from app.errors import Conflict, NotFound

FIRST_ADMINISTRATOR = "admin"
FIRST_PASSWORD_BYTES = 15


class Account(NamedTuple):
    """An administrator, as a list shows them."""

    name: str
    is_active: bool
    """False for who is locked out."""
    last_login: datetime | None
    authenticator_since: datetime | None
    """None for who signs in with the password alone."""


async def administrators() -> list[Account]:
    """List who there is, by name."""
    rows = await fetch(
        """
        SELECT username, active, last_login, confirmed_at FROM admin.administrators
        LEFT JOIN admin.authenticators ON administrator = id ORDER BY username
        """
    )
    return [Account(*row) for row in rows]


async def create_administrator(username: str, password: str) -> None:
    """Let somebody sign in to the page.

    Raises:
        ValidationFailed: The password is too weak.
        Conflict: There is one of this name.
    """
    Administrator.check_strength(username, password)
    hashed = await asyncio.to_thread(Administrator.hash_password, password)
    made = await fetchval(
        "INSERT INTO admin.administrators (username, password) VALUES ($1, $2) "
        "ON CONFLICT (username) DO NOTHING RETURNING id",
        username,
        hashed,
    )
    if made is None:
        raise Conflict(f"There is an administrator {username} already.")


async def set_password(username: str, password: str) -> None:
    """Give an administrator a new password; who was signed in with the old one is no more.

    Raises:
        ValidationFailed: The password is too weak.
        NotFound: There is nobody of this name.
    """
    Administrator.check_strength(username, password)
    await _require(username)
    await Administrator.update_password(username, password)


async def set_active(username: str, *, active: bool) -> None:
    """Shut an administrator out at once, or let them in again.

    Raises:
        NotFound: There is nobody of this name.
    """
    await _require(username)
    await Administrator.update({Administrator.active: active}).where(
        Administrator.username == username
    )


async def reset_second_factor(username: str) -> bool:
    """Forget an administrator's authenticator, which was lost perhaps, and end their sessions.

    Returns:
        Whether there was one; where there was none, nothing changes.

    Raises:
        NotFound: There is nobody of this name.
    """
    await _require(username)
    forgotten = await fetchval(
        """
        WITH forgotten AS (
            DELETE FROM admin.authenticators a USING admin.administrators
            WHERE administrator = id AND username = $1 RETURNING administrator
        ), ended AS (
            DELETE FROM admin.administrator_sessions USING forgotten WHERE user_id = administrator
        )
        SELECT 1 FROM forgotten
        """,
        username,
    )
    return forgotten is not None


async def first_administrator() -> tuple[str, str] | None:
    """Make an administrator where there is none; return name and password, or None."""
    if await fetchval("SELECT 1 FROM admin.administrators LIMIT 1"):
        return None
    password = secrets.token_urlsafe(FIRST_PASSWORD_BYTES)
    try:
        await create_administrator(FIRST_ADMINISTRATOR, password)
    except Conflict:  # Another server, started at the same time, has made it.
        return None
    return FIRST_ADMINISTRATOR, password


async def _require(username: str) -> None:
    if not await fetchval("SELECT 1 FROM admin.administrators WHERE username = $1", username):
        raise NotFound(f"There is no administrator {username}.")

"""Who may sign in to the page, and the browsers that are signed in.

Both are Piccolo's tables in our schema `admin`, with what Piccolo leaves open closed: passwords are
hashed off the event loop, guessing is limited (see `attempts.py`), and of a session's token only
the hash is kept.
"""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Self

from piccolo.apps.user.tables import BaseUser
from piccolo.columns import Varchar
from piccolo_api.session_auth.tables import SessionsBase

from app.admin.attempts import Step, Tally, count_attempt, forgive, remember_browser
from app.auth.tokens import token_hash
from app.database.columns import REQUIRED, Moment
from app.database.engine import fetch, fetchrow, fetchval
from app.errors import ValidationFailed

ATTEMPTS = 10
"""Wrong passwords for one name from one place, after which it waits there."""
ATTEMPTS_ELSEWHERE = 100
"""Wrong passwords for one name from all places that don't know it, after which each of them has
only as many as ATTEMPTS_UNDER_SIEGE."""
ATTEMPTS_UNDER_SIEGE = 2
SHORTEST_PASSWORD = 12
FEWEST_DIFFERENT_CHARACTERS = 6


class Administrator(BaseUser, tablename="administrators", schema="admin"):
    """Somebody who may sign in to this page. Made with `litestar admin create-user`."""

    email = Varchar(null=True, default=None)
    last_login = Moment(null=True, default=None)

    _min_password_length = SHORTEST_PASSWORD

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Return the id of the administrator whose name and password these are.

        For a name that there isn't, a password is hashed as well: the time that an answer takes
        tells nothing.
        """
        row = await fetchrow(
            "SELECT id, password FROM admin.administrators WHERE username = $1 AND active", username
        )
        administrator, stored = (None, None) if row is None else row
        tally = await count_attempt(administrator, Step.PASSWORD)
        if not await cls._matches(password, stored) or not _has_attempts_left(tally):
            return None
        found: int | None = await fetchval(
            "UPDATE admin.administrators SET last_login = now() "
            "WHERE id = $1 AND password = $2 AND active RETURNING id",
            administrator,
            stored,
        )
        if found is not None:
            await forgive(found, Step.PASSWORD)
        return found

    @classmethod
    async def _matches(cls, password: str, stored: str | None) -> bool:
        if len(password) > cls._max_password_length:
            return False
        if stored is None:
            await asyncio.to_thread(cls.hash_password, password)
            return False
        _, iterations, salt, _ = cls.split_stored_password(stored)
        hashed = await asyncio.to_thread(cls.hash_password, password, salt, int(iterations))
        return secrets.compare_digest(hashed, stored)

    @classmethod
    async def update_password(cls, user: str | int, password: str) -> None:
        """Give somebody, named or by id, a new password; end their sessions, and count anew.

        Raises:
            ValidationFailed: It is too weak.
        """
        name = await fetchval(
            "SELECT username FROM admin.administrators WHERE username = $1 OR id = $2",
            *((user, None) if isinstance(user, str) else (None, user)),
        )
        cls.check_strength(name, password)
        hashed = await asyncio.to_thread(cls.hash_password, password)
        await fetch(
            """
            WITH changed AS (
                UPDATE admin.administrators SET password = $2
                WHERE username = $1 RETURNING id
            ), forgiven AS (
                DELETE FROM admin.failed_sign_ins f USING changed WHERE f.administrator = changed.id
            )
            DELETE FROM admin.administrator_sessions s USING changed WHERE s.user_id = changed.id
            """,
            name,
            hashed,
        )

    @classmethod
    def check_strength(cls, username: str, password: str) -> None:
        """Refuse what is guessed first.

        Raises:
            ValidationFailed: It is too short, too long, too uniform or contains the name.
        """
        try:
            cls._validate_password(password)
        except ValueError as error:
            raise ValidationFailed(str(error)) from error
        if len(set(password)) < FEWEST_DIFFERENT_CHARACTERS:
            raise ValidationFailed(
                f"The password has fewer than {FEWEST_DIFFERENT_CHARACTERS} different characters."
            )
        if username.lower() in password.lower():
            raise ValidationFailed("The password contains the user name.")


def _has_attempts_left(tally: Tally) -> bool:
    most = ATTEMPTS if tally.elsewhere <= ATTEMPTS_ELSEWHERE else ATTEMPTS_UNDER_SIEGE
    return tally.here <= most


class AdministratorSession(SessionsBase, tablename="administrator_sessions", schema="admin"):
    """A browser in which an administrator is signed in."""

    token = Varchar(length=64, default=REQUIRED, secret=True, help_text="SHA-256, in hex.")
    expiry_date = Moment(default=REQUIRED)
    max_expiry_date = Moment(default=REQUIRED)

    @classmethod
    async def create_session(
        cls,
        user_id: int,
        expiry_date: datetime | None = None,
        max_expiry_date: datetime | None = None,
    ) -> Self:
        """Sign somebody in. The returned session carries the token itself; the row its hash.

        The browser is known from now on. Sessions that have expired go by the way.
        """
        token = secrets.token_urlsafe(32)
        session = cls(
            token=token_hash(token),
            user_id=user_id,
            expiry_date=_aware(expiry_date, timedelta(hours=1)),
            max_expiry_date=_aware(max_expiry_date, timedelta(days=1)),
        )
        await cls.delete().where(cls.expiry_date < datetime.now(UTC))
        await session.save()
        await remember_browser(user_id)
        session.token = token
        return session

    @classmethod
    async def get_user_id(cls, token: str, increase_expiry: timedelta | None = None) -> int | None:
        """Return whose session this is, if it is one; who is active stays signed in. One query."""
        found: int | None = await fetchval(
            """
            UPDATE admin.administrator_sessions
            SET expiry_date = LEAST(max_expiry_date, GREATEST(expiry_date, now() + $2::interval))
            WHERE token = $1 AND expiry_date > now() AND max_expiry_date > now()
            RETURNING user_id
            """,
            token_hash(token),
            increase_expiry or timedelta(),
        )
        return found

    @classmethod
    async def remove_session(cls, token: str) -> None:
        """Sign out."""
        await cls.delete().where(cls.token == token_hash(token))


def _aware(local: datetime | None, default: timedelta) -> datetime:
    """Give Piccolo's local time its zone."""
    return datetime.now(UTC) + default if local is None else local.astimezone(UTC)

"""Tickets: what opens one stream in somebody's name, for clients that can send no header."""

import secrets
from datetime import datetime

import msgspec

from app.auth.revocation import is_revoked
from app.auth.tokens import VerifiedToken, token_hash
from app.database.engine import fetchrow, fetchval, jsonb
from app.errors import InvalidToken
from app.tables import User

TICKET_BYTES = 32
TTL_SECONDS = 30
LONGEST_TICKET = 100


async def issue(token: VerifiedToken) -> tuple[str, datetime]:
    """Make a ticket, and tell until when it may be used.

    Raises:
        InvalidToken: The person was deleted.
    """
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    # The token names the person: whoever erases them finds it, or it is not written.
    expires_at = await fetchval(
        f"""
        WITH person AS (SELECT id FROM {User.alive()} u WHERE id = $4 FOR SHARE)
        INSERT INTO event_tickets (id, token, "expiresAt")
        SELECT $1, $2, now() + make_interval(secs => $3) FROM person RETURNING "expiresAt"
        """,
        token_hash(ticket),
        jsonb(token),
        TTL_SECONDS,
        token.claims.sub,
    )
    if expires_at is None:
        raise InvalidToken(private="the person was deleted")
    return ticket, expires_at


async def redeem(ticket: str) -> VerifiedToken:
    """Use a ticket up, and return the access token that it stands for.

    Raises:
        InvalidToken: There is no such ticket, it was used or is too old, or the token was revoked.
    """
    row = await fetchrow(
        'DELETE FROM event_tickets WHERE id = $1 RETURNING token, "expiresAt" > now() AS holds',
        token_hash(ticket),
    )
    if row is None or not row["holds"]:
        raise InvalidToken(private="the ticket was used, is too old, or was never given out")
    token = msgspec.json.decode(row["token"], type=VerifiedToken)
    if await is_revoked(token):
        raise InvalidToken(private=f"session {token.claims.sid} was revoked")
    return token

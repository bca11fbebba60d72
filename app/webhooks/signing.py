"""Signatures as Standard Webhooks has them: HMAC-SHA256 of the id, the time and the body. Pure.

The library `standardwebhooks` verifies them in the tests, as apps do. Signing is four lines, which
are written here: so what the tests compare owes nothing to one another.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

SECRET_BYTES = 32
PREFIX = "whsec_"


def written_secret(key: bytes) -> str:
    """Write a secret as libraries take it."""
    return PREFIX + base64.b64encode(key).decode()


def signatures(id_: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> str:
    """Sign a message with each secret.

    Args:
        id_: Of the message.
        timestamp: Seconds since 1970, when it is sent.
        body: As it is sent.
        secrets: As `written_secret` writes them.
    """
    signed = f"{id_}.{timestamp}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(_key_of(secret), signed, hashlib.sha256)).decode()}"
        for secret in secrets
    )


def _key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))

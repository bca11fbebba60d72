"""Secrets that have to be read again, encrypted at rest with ADMIN_MFA_KEY."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.settings import settings


def encrypted(secret: str) -> str:
    """Encrypt a secret with the first key."""
    return _cipher().encrypt(secret.encode()).decode()


def decrypted(text: str) -> str | None:
    """Read a secret; None if its key is none of ours any more."""
    try:
        return _cipher().decrypt(text.encode()).decode()
    except InvalidToken:
        return None


def renewed(text: str) -> str:
    """Encrypt what can be read with the first key."""
    return _cipher().rotate(text.encode()).decode()


def _cipher() -> MultiFernet:
    keys = (hashlib.sha256(key.encode()).digest() for key in settings().ADMIN_MFA_KEY)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

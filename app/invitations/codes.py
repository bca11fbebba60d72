"""The codes of invitations: ten characters that nobody mixes up. Pure.

Crockford's alphabet has no I, L, O and U. Who reads or types one of them, a small letter, or
leaves out the dash means what looks the same.
"""

import hmac
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 10
"""50 bits: `app/invitations/README.md` tells how long guessing takes."""
_HALF = LENGTH // 2
_MEANT = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def new_code() -> str:
    """Make a code, as it is shown: `7K2MX-9QD4R`."""
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return f"{code[:_HALF]}-{code[_HALF:]}"


def hash_of(code: str, key: bytes) -> str:
    """Return what is kept of a code, however it was typed.

    Args:
        code: What somebody has typed.
        key: Without it nobody who reads the database can try codes.
    """
    meant = code.upper().translate(_MEANT)
    return hmac.digest(key, meant.encode(), "sha256").hex()

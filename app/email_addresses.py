"""One form for each e-mail address: two texts are one person's address if their forms are equal.

Lower-casing alone is no comparison. The Kelvin sign (U+212A) lower-cases to `k`, so that whoever
had it in a verified address would come in as somebody else. Here nothing that is not ASCII ever
becomes ASCII: what a compatibility mapping would change is refused, not mapped.
"""

import re
import unicodedata

import idna

from app.errors import ValidationFailed

LONGEST_ADDRESS = 254
"""RFC 5321 has room for no more in a path."""
LONGEST_LOCAL_PART = 64
LOOK_ALIKE = {"LATIN", "GREEK", "CYRILLIC"}
"""Scripts that share letters' shapes. One local part has letters of at most one of them."""

_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+")
"""Dots may be anywhere: Japanese carriers gave away addresses that RFC 5321 would have quoted."""
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class NotAnAddress(ValidationFailed):
    """A text is no address; the message says why, as a sentence."""


def canonical_address(text: str) -> str:
    """Return the one form of an address: lower case, its domain as DNS has it (`xn--…`).

    Raises:
        NotAnAddress: It is none, or one that could be taken for another.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at or not local or not domain:
        raise NotAnAddress("Not an e-mail address: it needs a name, an @ and a domain.")
    if len(text.strip()) > LONGEST_ADDRESS:
        raise NotAnAddress(f"Not an e-mail address: it is longer than {LONGEST_ADDRESS} bytes.")
    address = f"{_local_part(local)}@{_domain(domain)}"
    if len(address.encode()) > LONGEST_ADDRESS:
        raise NotAnAddress(f"Not an e-mail address: it is longer than {LONGEST_ADDRESS} bytes.")
    return address


def searched_address(text: str) -> str:
    """Return the form in which an address, or a part of one, is found among those that are kept."""
    typed = text.strip()
    missing = "x" if typed.startswith("@") else ""
    try:
        return canonical_address(missing + typed).removeprefix(missing)
    except NotAnAddress:
        pass
    try:
        return _folded(typed)
    except NotAnAddress:
        return typed


def _local_part(text: str) -> str:
    local = text.lower() if _LOCAL.fullmatch(text) else _international_local_part(text)
    if len(local.encode()) > LONGEST_LOCAL_PART:
        raise NotAnAddress(
            f"Not an e-mail address: before the @ are more than {LONGEST_LOCAL_PART} bytes."
        )
    return local


def _international_local_part(text: str) -> str:
    for each in text:
        if not (_LOCAL.fullmatch(each) or _is_letter_mark_or_digit(each)):
            raise NotAnAddress(f"Not an e-mail address: {_told(each)} may not be before the @.")
    scripts = {unicodedata.name(each, "").partition(" ")[0] for each in text if each.isalpha()}
    if len(scripts & LOOK_ALIKE) > 1:
        raise NotAnAddress("Not an e-mail address: it mixes letters of scripts that look alike.")
    return _folded(text)


def _is_letter_mark_or_digit(char: str) -> bool:
    return not char.isascii() and unicodedata.category(char)[0] in "LMN"


def _domain(text: str) -> str:
    if not text.isascii():
        text = _folded(text)
    elif not _DOMAIN.fullmatch(text):
        raise NotAnAddress("Not an e-mail address: what is after the @ is no domain.")
    domain = text.lower()
    if domain.isascii() and "xn--" not in domain:
        return domain
    try:
        # To the letters and back: an A-label is a domain's form only if it is the one they have.
        return idna.encode(idna.decode(domain, strict=True), strict=True).decode()
    except UnicodeError as error:
        raise NotAnAddress("Not an e-mail address: what is after the @ is no domain.") from error


def _folded(text: str) -> str:
    """Lower-case what has one spelling, and refuse what would change into other characters."""
    lowered = text.lower()
    for each in text:
        if not each.isascii() and any(part.isascii() for part in each.lower()):
            raise NotAnAddress(f"Not an e-mail address: {_told(each)} could be taken for another.")
    if any(unicodedata.normalize("NFKC", each) != each for each in (text, lowered)):
        raise NotAnAddress("Not an e-mail address: it has characters that stand for others.")
    return lowered


def _told(char: str) -> str:
    return f"{unicodedata.name(char, 'a character').lower()} (U+{ord(char):04X})"

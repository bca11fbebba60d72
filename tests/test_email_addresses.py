"""One address, one person: what is equal becomes equal, and nothing else does."""

import sys
import unicodedata
from contextlib import suppress

import pytest

from app.database.seed import PEOPLE
from app.email_addresses import NotAnAddress, canonical_address, searched_address

KELVIN = "\u212a"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("mike@example.com", "mike@example.com"),
        ("  Mike@Example.COM\n", "mike@example.com"),
        ("o'neil+tag_1@example.com", "o'neil+tag_1@example.com"),
        ("a..b.@docomo.ne.jp", "a..b.@docomo.ne.jp"),
        ("root@localhost", "root@localhost"),
        ("Élodie@example.com", "élodie@example.com"),
        ("Иван@example.com", "иван@example.com"),
        ("用户@example.com", "用户@example.com"),
        ("a@bücher.de", "a@xn--bcher-kva.de"),
        ("a@BÜCHER.de", "a@xn--bcher-kva.de"),
        ("a@XN--BCHER-KVA.de", "a@xn--bcher-kva.de"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
        ("a@strasse.de", "a@strasse.de"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
        (f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.com", None),
    ],
)
def test_address_has_one_form(text: str, form: str | None) -> None:
    form = form or text
    assert canonical_address(text) == form
    assert canonical_address(form) == form


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"mi{KELVIN}e@example.com", "could be taken for another"),
        ("Fu\u017fe@example.com", "stand for others"),
        ("\u0130van@example.com", "could be taken for another"),
        ("\uff4dike@example.com", "stand for others"),
        ("e\u0301lodie@example.com", "stand for others"),
        ("m\u0456ke@example.com", "look alike"),
        ("mi ke@example.com", "SPACE"),
        ("mi\u00adke@example.com", "SOFT HYPHEN"),
        ("mike\u200b@example.com", "ZERO WIDTH SPACE"),
        ("mi\u200dke@example.com", "ZERO WIDTH JOINER"),
        ("mi\u202eke@example.com", "RIGHT-TO-LEFT OVERRIDE"),
        ("mi\0ke@example.com", "U+0000"),
        ('"mi ke"@example.com', "QUOTATION MARK"),
        ("mike@@example.com", "COMMERCIAL AT"),
        ("mike", "needs a name"),
        ("@example.com", "needs a name"),
        ("mike@", "needs a name"),
        ("", "needs a name"),
        ("mike@example.com.", "no domain"),
        ("mike@.example.com", "no domain"),
        ("mike@-example.com", "no domain"),
        ("mike@exam ple.com", "no domain"),
        ("mike@exa_mple.com", "no domain"),
        ("mike@[127.0.0.1]", "no domain"),
        ("mike@exam\u200bple.com", "no domain"),
        ("mike@bücher\u3002de", "no domain"),
        (f"mi@{KELVIN}elvin.com", "could be taken for another"),
        ("mike@\uff45xample.com", "stand for others"),
        ("mike@xn--a.com", "no domain"),
        ("mike@xn--bcher-kvA\u00fc.de", "no domain"),
        (f"{'a' * 65}@example.com", "64 bytes"),
        (f"{'é' * 33}@example.com", "64 bytes"),
        (f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.com", "254 bytes"),
        (f"a@{'.'.join(['ü' * 20] * 11)}", "no domain"),
        (f"{'é' * 30}@{'b' * 63}.{'c' * 63}.{'d' * 63}.com", "254 bytes"),
    ],
)
def test_what_is_no_address_or_could_be_taken_for_another_is_refused(
    text: str, reason: str
) -> None:
    with pytest.raises(NotAnAddress) as refusal:
        canonical_address(text)
    assert reason.casefold() in refusal.value.message.casefold()


def test_no_character_becomes_one_of_ascii_and_every_form_is_its_own() -> None:
    changing = (
        each
        for each in map(chr, range(0x80, sys.maxunicode + 1))
        if each != each.lower() or each != unicodedata.normalize("NFKC", each)
    )
    for each in changing:
        for text in (f"{each}@example.com", f"a@{each}.com"):
            with suppress(NotAnAddress):
                form = canonical_address(text)
                assert canonical_address(form) == form
                assert form not in {"@example.com", "a@.com"}
                local = form.partition("@")[0]
                assert text.startswith("a@") or not any(map(str.isascii, local))
                assert unicodedata.is_normalized("NFC", form)


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        (" Mike@Example.com ", "mike@example.com"),
        ("MIKE", "mike"),
        ("\u00c9LO", "\u00e9lo"),
        ("@B\u00fccher.example", "@xn--bcher-kva.example"),
        ("mi\u212ae", "mi\u212ae"),
        ("", ""),
    ],
)
def test_a_part_of_an_address_is_looked_for_in_the_form_that_is_kept(
    typed: str, searched: str
) -> None:
    assert searched_address(typed) == searched


def test_the_demo_people_have_addresses_in_their_one_form() -> None:
    assert [canonical_address(email) for email in PEOPLE] == [*PEOPLE]

import base64
import hashlib
import hmac
import json
import string
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.tokens import (
    ACCESS_TOKEN_TTL_SECONDS,
    CLOCK_LEEWAY_SECONDS,
    MAX_TOKEN_LENGTH,
    REFRESH_TOKEN_BYTES,
    REMEMBERED_GENERATIONS,
    AccessClaims,
    TokenKey,
    TokenPolicy,
    VerifiedToken,
    VerifiedTokens,
    decode_access_token,
    descendants,
    issued_successor,
    mint_access_token,
    new_refresh_token,
    session_hash,
    successor,
    token_hash,
)
from app.errors import InvalidToken

SECRET = "a-secret-of-the-tests-that-is-long-enough"
OLD_SECRET = "the-secret-before-it-that-is-long-enough-too"
ISSUER = "https://events.example"
AUDIENCE = "https://events.example/api/v1"
POLICY = TokenPolicy.of((SECRET,), issuer=ISSUER, audience=AUDIENCE)
NOW = datetime(2025, 6, 1, 12, 0, 0, 750_000, tzinfo=UTC)
ISSUED_AT = int(NOW.timestamp())
BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"

KID = POLICY.keys[0].kid
HEADER: dict[str, Any] = {"alg": "HS256", "kid": KID, "typ": "at+jwt"}
CLAIMS: dict[str, Any] = {
    "sub": "cuser",
    "userId": "cuser",
    "email": "alice@example.com",
    "sid": "csession",
    "jti": "one",
    "iss": ISSUER,
    "aud": AUDIENCE,
    "iat": ISSUED_AT,
    "exp": ISSUED_AT + 3600,
}


def mint(policy: TokenPolicy = POLICY, *, now: datetime = NOW, jti: str = "one") -> str:
    return mint_access_token(
        "cuser", "alice@example.com", "csession", policy=policy, now=now, jti=jti
    )


def decode(token: str, policy: TokenPolicy = POLICY, *, now: datetime = NOW) -> AccessClaims:
    return decode_access_token(token, policy=policy, now=now)


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def forge(
    header: bytes | None = None,
    payload: bytes | None = None,
    *,
    secret: str = SECRET,
    digest: str = "sha256",
) -> str:
    """Sign anything at all, as whoever holds the secret could."""
    parts = (compact(HEADER) if header is None else header, payload or compact(CLAIMS))
    signing_input = ".".join(base64url(part) for part in parts)
    signature = hmac.digest(secret.encode(), signing_input.encode(), digest)
    return f"{signing_input}.{base64url(signature)}"


def private_cause(token: str, policy: TokenPolicy = POLICY, *, now: datetime = NOW) -> str:
    with pytest.raises(InvalidToken) as refusal:
        decode(token, policy, now=now)
    assert refusal.value.message == InvalidToken.default_message
    assert refusal.value.details == {}
    assert refusal.value.private is not None
    return refusal.value.private


def with_last_character_changed(segment: str) -> str:
    """Set a spare bit: another text that the lenient decoders read as the same bytes."""
    other = segment[:-1] + BASE64URL[BASE64URL.index(segment[-1]) ^ 1]
    padding = "=" * (-len(segment) % 4)
    assert base64.urlsafe_b64decode(other + padding) == base64.urlsafe_b64decode(segment + padding)
    return other


# What is minted


def test_token_carries_the_header_and_the_claims_of_the_design() -> None:
    header, payload, _signature = mint().split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == HEADER
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == CLAIMS


def test_decoded_claims_are_those_that_were_minted() -> None:
    assert decode(mint()) == AccessClaims(**CLAIMS)


def test_other_libraries_verify_the_token() -> None:
    token = mint(now=datetime.now(UTC))
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["sid"] == "csession"


def test_tokens_of_one_second_differ_by_their_jti() -> None:
    assert mint(jti="one") == mint(jti="one")
    assert token_hash(mint(jti="one")) != token_hash(mint(jti="two"))


def test_a_token_forged_with_the_secret_in_our_spelling_is_our_token() -> None:
    assert forge() == mint()


@given(user_id=st.text(), email=st.text(max_size=254), session_id=st.text(), jti=st.text())
def test_any_text_survives_minting_and_decoding(
    user_id: str, email: str, session_id: str, jti: str
) -> None:
    token = mint_access_token(user_id, email, session_id, policy=POLICY, now=NOW, jti=jti)
    claims = decode(token)
    assert (claims.sub, claims.userId) == (user_id, user_id)
    assert (claims.email, claims.sid, claims.jti) == (email, session_id, jti)


def test_time_without_a_zone_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        mint(now=NOW.replace(tzinfo=None))


# One spelling


@pytest.mark.parametrize(
    "appendix", ["=", "==", " ", "\n", ".", ".e30", "A", "\x00", "é", "\u017f"]
)
def test_anything_appended_is_refused(appendix: str) -> None:
    private_cause(mint() + appendix)


@pytest.mark.parametrize("prefix", ["=", " ", "\n", ".", "e30.", "Bearer ", "\ufeff"])
def test_anything_put_before_is_refused(prefix: str) -> None:
    private_cause(prefix + mint())


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("padding", ["=", "==", "===", "=A", "\n", "%3D"])
def test_padding_of_any_part_is_refused(part: int, padding: str) -> None:
    parts = mint().split(".")
    parts[part] += padding
    assert "base64url" in private_cause(".".join(parts))


def test_spare_bits_of_the_signature_are_refused() -> None:
    signing_input, signature = mint().rsplit(".", 1)
    token = f"{signing_input}.{with_last_character_changed(signature)}"
    assert "signature" in private_cause(token)


def test_spare_bits_of_signed_claims_are_refused() -> None:
    claims = compact({**CLAIMS, "jti": "three"})
    assert len(claims) % 3, "there are spare bits only in an incomplete group"
    payload = with_last_character_changed(base64url(claims))
    signing_input = f"{POLICY.keys[0].header}.{payload}"
    signature = hmac.digest(SECRET.encode(), signing_input.encode(), "sha256")
    cause = private_cause(f"{signing_input}.{base64url(signature)}")
    assert cause == "the claims are not spelled as ours"


def test_spare_bits_of_the_header_are_refused() -> None:
    header = compact(HEADER)
    assert len(header) % 3, "there are spare bits only in an incomplete group"
    segment = with_last_character_changed(base64url(header))
    _header, payload, _signature = mint().split(".")
    signature = hmac.digest(SECRET.encode(), f"{segment}.{payload}".encode(), "sha256")
    cause = private_cause(f"{segment}.{payload}.{base64url(signature)}")
    assert cause.startswith("the header is not spelled as ours")


def test_standard_base64_alphabet_is_refused() -> None:
    tokens = (mint(jti=str(number)) for number in range(100))
    token = next(token for token in tokens if "-" in token or "_" in token)
    assert "base64url" in private_cause(token.replace("-", "+").replace("_", "/"))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        ".b.c",
        "a..c",
        "a.b.",
        "\ud800.b.c",
        "é.b.c",
        "a.\uff42.c",
        "null",
        "{}",
        "a b.c.d",
        "a.b\n.c",
    ],
)
def test_what_is_not_three_parts_of_base64url_is_refused(token: str) -> None:
    assert private_cause(token) == "the token is not three parts of unpadded base64url"


@pytest.mark.parametrize("token", [mint().encode(), None, 7, [mint()], {"token": mint()}])
def test_what_is_not_text_is_refused(token: object) -> None:
    assert private_cause(cast("str", token)) == "the token is not text"


def test_overlong_token_is_refused_even_when_it_is_signed() -> None:
    def signed_with_email_of(length: int) -> str:
        return forge(payload=compact({**CLAIMS, "email": "a" * length}))

    assert decode(signed_with_email_of(2000)).email == "a" * 2000
    token = signed_with_email_of(3000)
    assert private_cause(token) == f"the token has {len(token)} characters"
    assert "base64url" in private_cause("a" * MAX_TOKEN_LENGTH)
    assert "characters" in private_cause("a" * (MAX_TOKEN_LENGTH + 1))


@given(position=st.integers(min_value=0), replacement=st.characters())
def test_any_changed_character_is_refused(position: int, replacement: str) -> None:
    token = mint()
    position %= len(token)
    changed = token[:position] + replacement + token[position + 1 :]
    if changed != token:
        private_cause(changed)


@given(position=st.integers(min_value=0), replacement=st.sampled_from(BASE64URL))
def test_any_changed_character_of_the_alphabet_is_refused(position: int, replacement: str) -> None:
    token = mint()
    position %= len(token)
    changed = token[:position] + replacement + token[position + 1 :]
    if changed != token:
        private_cause(changed)


@given(
    position=st.integers(min_value=0),
    insertion=st.one_of(st.characters(), st.sampled_from(BASE64URL + ".=")),
)
def test_any_inserted_character_is_refused(position: int, insertion: str) -> None:
    token = mint()
    position %= len(token) + 1
    private_cause(token[:position] + insertion + token[position:])


def test_every_deleted_character_is_refused() -> None:
    token = mint()
    for position in range(len(token)):
        private_cause(token[:position] + token[position + 1 :])


_MEMBER_ORDERS = st.permutations(list(CLAIMS))
_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (",", ": "), (",\n", ":")])


@given(order=_MEMBER_ORDERS, separators=_SEPARATORS, ascii_only=st.booleans())
def test_spellings_that_are_accepted_for_the_same_claims_are_equal(
    order: list[str], separators: tuple[str, str], *, ascii_only: bool
) -> None:
    claims = {**CLAIMS, "email": "zoë@example.com"}
    ours = forge(payload=compact(claims))
    reordered = {name: claims[name] for name in order}
    other = json.dumps(reordered, separators=separators, ensure_ascii=ascii_only).encode()
    spelling = forge(payload=other)
    assert decode(ours).email == "zoë@example.com"
    if spelling != ours:
        assert private_cause(spelling) == "the claims are not spelled as ours"


@given(st.text())
def test_any_text_is_refused_without_another_error(text: str) -> None:
    private_cause(text)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_signed_bytes_are_refused_without_another_error(header: bytes, payload: bytes) -> None:
    private_cause(forge(header, payload or b"{}"))
    private_cause(forge(payload=payload or b"{}"))


# Header


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA", None]
)
def test_any_other_algorithm_is_refused(alg: str | None) -> None:
    assert private_cause(forge(compact({**HEADER, "alg": alg}))) == f"the header's alg is {alg!r}"


def test_unsigned_token_is_refused() -> None:
    header = base64url(compact({**HEADER, "alg": "none"}))
    payload = base64url(compact(CLAIMS))
    private_cause(f"{header}.{payload}.")
    private_cause(f"{mint().rsplit('.', 1)[0]}.")
    assert private_cause(f"{header}.{payload}.AA") == "the header's alg is 'none'"


def test_longer_digest_under_our_header_is_refused() -> None:
    assert "signature" in private_cause(forge(digest="sha512"))
    assert "signature" in private_cause(forge(digest="sha384"))


def test_truncated_signature_is_refused() -> None:
    token = mint()
    signature_starts = token.rindex(".") + 1
    for end in range(signature_starts + 1, len(token)):
        assert "signature" in private_cause(token[:end])


@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "AT+JWT", "at+JWT", "application/at+jwt", "at+jwt ", "", None, 1, ["at+jwt"]],
)
def test_any_other_type_is_refused(typ: object) -> None:
    assert private_cause(forge(compact({**HEADER, "typ": typ}))) == f"the header's typ is {typ!r}"


@pytest.mark.parametrize("kid", ["", KID.upper(), KID + " ", "../../dev/null", None, 0, [KID], {}])
def test_unknown_key_is_refused(kid: object) -> None:
    assert private_cause(forge(compact({**HEADER, "kid": kid}))) == f"the header's kid is {kid!r}"


@pytest.mark.parametrize("member", ["alg", "typ", "kid"])
def test_missing_header_member_is_refused(member: str) -> None:
    header = {name: value for name, value in HEADER.items() if name != member}
    assert private_cause(forge(compact(header))) == f"the header's {member} is None"


@pytest.mark.parametrize(
    "further",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": True},
        {"b64": False},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": ["AA"]},
        {"cty": "JWT"},
        {"nonce": "1"},
        {"": ""},
    ],
)
def test_further_header_member_is_refused(further: dict[str, object]) -> None:
    cause = private_cause(forge(compact({**HEADER, **further})))
    assert cause == f"the header has further members: {sorted(further)!r}"


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none",' + compact(HEADER)[1:],
        b'{"alg":"HS256",' + compact(HEADER)[1:],
        compact(HEADER)[:-1] + b',"typ":"at+jwt"}',
        compact(dict(reversed(HEADER.items()))),
        json.dumps(HEADER).encode(),
        b" " + compact(HEADER),
        compact(HEADER) + b"\n",
        compact(HEADER).replace(b'"alg"', b'"\\u0061lg"'),
    ],
    ids=["none first", "alg twice", "typ twice", "order", "spaces", "before", "after", "escape"],
)
def test_other_spelling_of_our_header_is_refused(header: bytes) -> None:
    assert private_cause(forge(header)).startswith("the header is not spelled as ours")


@pytest.mark.parametrize("header", [b"[]", b"null", b'"HS256"', b"7", compact([HEADER])], ids=str)
def test_header_that_is_no_object_is_refused(header: bytes) -> None:
    assert private_cause(forge(header)) == "the header is not a JSON object"


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xfe",
        b"{",
        b"\xef\xbb\xbf" + compact(HEADER),
        compact(HEADER) + b"\x00",
        compact(HEADER).decode().encode("utf-16"),
        b"[" * 2000,
        b'{"alg":NaN}',
        b"{'alg':'HS256'}",
    ],
    ids=["bytes", "half", "mark", "nul", "utf-16", "nested", "nan", "quotes"],
)
def test_header_that_is_no_json_is_refused(header: bytes) -> None:
    token = f"{base64url(header)[:3900]}.e30.AA"
    assert private_cause(token) == "the header is not JSON in base64url"


def test_header_of_an_impossible_length_is_refused() -> None:
    assert private_cause("AAAAA.e30.AA") == "the header is not JSON in base64url"


def test_long_header_value_is_cut_in_the_log() -> None:
    cause = private_cause(forge(compact({**HEADER, "alg": "x\n" * 500})))
    assert len(cause) < 100
    assert "\n" not in cause


# Claims


@pytest.mark.parametrize("claim", list(CLAIMS))
def test_missing_claim_is_refused(claim: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != claim}
    cause = private_cause(forge(payload=compact(claims)))
    assert cause == f"the claims are unfit: Object missing required field `{claim}`"


@pytest.mark.parametrize("claim", ["sub", "userId", "email", "sid", "jti", "iss", "aud"])
@pytest.mark.parametrize("value", [None, 1, True, 1.5, [], {}, ["text"], [AUDIENCE]])
def test_text_claim_of_another_type_is_refused(claim: str, value: object) -> None:
    cause = private_cause(forge(payload=compact({**CLAIMS, claim: value})))
    assert cause.startswith("the claims are unfit: Expected `str`")


@pytest.mark.parametrize("claim", ["iat", "exp"])
@pytest.mark.parametrize(
    "value",
    [
        "null",
        "true",
        '"1748779200"',
        f"{CLAIMS['exp']}.0",
        f"{CLAIMS['exp']}.5",
        "1.7e9",
        "1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "[]",
        "{}",
        "0x68",
        "01",
        "9" * 2000,
    ],
)
def test_time_claim_that_is_no_plain_integer_is_refused(claim: str, value: str) -> None:
    payload = compact(CLAIMS).decode().replace(f'"{claim}":{CLAIMS[claim]}', f'"{claim}":{value}')
    assert private_cause(forge(payload=payload.encode())).startswith("the claims are unfit: ")


@pytest.mark.parametrize("claim", ["iat", "exp"])
@pytest.mark.parametrize("value", [2**53, 2**63, 2**64, 10**40, -1, -(2**63), -(10**40)])
def test_time_claim_out_of_range_is_refused(claim: str, value: int) -> None:
    cause = private_cause(forge(payload=compact({**CLAIMS, claim: value})))
    assert cause.startswith("the claims are unfit: ")


@pytest.mark.parametrize("iat", [0, ISSUED_AT - 3600, ISSUED_AT + 3600, 2**31, 2**52])
def test_token_of_another_age_is_refused(iat: int) -> None:
    cause = private_cause(forge(payload=compact({**CLAIMS, "iat": iat, "exp": iat + 3600})))
    assert cause.startswith("expired" if iat < ISSUED_AT else "issued")


@pytest.mark.parametrize(
    "further", [{"nbf": ISSUED_AT}, {"admin": True}, {"isAdmin": True}, {"": ""}, {"x": [[[]]]}]
)
def test_further_claim_is_refused(further: dict[str, object]) -> None:
    cause = private_cause(forge(payload=compact({**CLAIMS, **further})))
    assert "unknown field" in cause


@pytest.mark.parametrize("claim", list(CLAIMS))
def test_repeated_claim_is_refused(claim: str) -> None:
    repeated = compact({claim: CLAIMS[claim]})[1:-1]
    before = b"{" + repeated + b"," + compact(CLAIMS)[1:]
    after = compact(CLAIMS)[:-1] + b"," + repeated + b"}"
    assert private_cause(forge(payload=before)) == "the claims are not spelled as ours"
    assert private_cause(forge(payload=after)) == "the claims are not spelled as ours"


@pytest.mark.parametrize(
    "payload",
    [
        b" " + compact(CLAIMS),
        compact(CLAIMS) + b"\n",
        compact(CLAIMS).replace(b"cuser", b"\\u0063user"),
        compact(CLAIMS).replace(b"/", b"\\/"),
        compact({**CLAIMS, "iat": -0.0}).replace(b"-0.0", b"-0"),
    ],
    ids=["before", "after", "escape", "slash", "minus zero"],
)
def test_other_spelling_of_signed_claims_is_refused(payload: bytes) -> None:
    assert private_cause(forge(payload=payload)) == "the claims are not spelled as ours"


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b"7",
        b"{",
        b"not JSON",
        compact([CLAIMS]),
        compact(CLAIMS) + compact(CLAIMS),
        compact(CLAIMS) + b"\x00",
        b"\xef\xbb\xbf" + compact(CLAIMS),
        compact(CLAIMS).replace(b"alice", b"\xff"),
        compact(CLAIMS).replace(b"alice", b"\xc0\xaf"),
        compact(CLAIMS).replace(b"alice", b"\\ud800"),
        compact(CLAIMS).replace(b"alice", b"\x01"),
        b'{"x":' + b"[" * 2500,
        b"[" * 2500,
    ],
)
def test_signed_bytes_that_are_no_claims_are_refused(payload: bytes) -> None:
    assert private_cause(forge(payload=payload)).startswith("the claims are unfit: ")


def test_signed_part_of_an_impossible_length_is_refused() -> None:
    signing_input = f"{POLICY.keys[0].header}.AAAAA"
    signature = base64url(hmac.digest(SECRET.encode(), signing_input.encode(), "sha256"))
    assert private_cause(f"{signing_input}.{signature}").startswith("the claims are unfit: ")


@pytest.mark.parametrize("claim", ["iss", "aud"])
@pytest.mark.parametrize("value", ["", ISSUER.upper(), ISSUER + "/", AUDIENCE + "/", "https://"])
def test_other_issuer_or_audience_is_refused(claim: str, value: str) -> None:
    cause = private_cause(forge(payload=compact({**CLAIMS, claim: value})))
    assert cause == f"{claim} is {value!r}"


def test_subject_that_is_not_the_user_is_refused() -> None:
    claims = {**CLAIMS, "userId": "cother"}
    assert private_cause(forge(payload=compact(claims))) == "sub and userId differ"


# Time


def test_token_is_good_until_the_second_of_its_expiry() -> None:
    expiry = datetime.fromtimestamp(ISSUED_AT + ACCESS_TOKEN_TTL_SECONDS, UTC)
    token = mint()
    assert decode(token, now=expiry - timedelta(microseconds=1)).exp == expiry.timestamp()
    assert private_cause(token, now=expiry) == "expired 0 s ago"
    assert private_cause(token, now=expiry + timedelta(days=1)) == "expired 86400 s ago"


def test_issuing_clock_may_be_ahead_by_the_leeway_and_no_more() -> None:
    second = NOW.replace(microsecond=0)
    token = mint(now=second)
    leeway = timedelta(seconds=CLOCK_LEEWAY_SECONDS)
    assert decode(token, now=second - leeway).iat == second.timestamp()
    assert "future" in private_cause(token, now=second - leeway - timedelta(microseconds=1))


@pytest.mark.parametrize("lifetime", [-3600, -1, 0, 3601, 86_400, 2**52])
def test_lifetime_that_we_never_give_is_refused(lifetime: int) -> None:
    claims = {**CLAIMS, "exp": ISSUED_AT + lifetime}
    assert private_cause(forge(payload=compact(claims))) == f"exp - iat is {lifetime} s"


def test_shorter_lifetime_is_accepted() -> None:
    claims = {**CLAIMS, "exp": ISSUED_AT + 1}
    assert decode(forge(payload=compact(claims))).exp == ISSUED_AT + 1


# Secrets


def rotated(*secrets: str) -> TokenPolicy:
    return TokenPolicy.of(secrets, issuer=ISSUER, audience=AUDIENCE)


def test_token_of_an_older_secret_is_good_while_the_secret_is_listed() -> None:
    token = mint(rotated(OLD_SECRET))
    assert decode(token, rotated(SECRET, OLD_SECRET)).sub == "cuser"
    kid = rotated(OLD_SECRET).keys[0].kid
    assert private_cause(token, rotated(SECRET)) == f"the header's kid is {kid!r}"


def test_first_secret_signs() -> None:
    policy = rotated(SECRET, OLD_SECRET)
    assert mint(policy) == mint(rotated(SECRET))
    assert mint(policy) != mint(rotated(OLD_SECRET))


def test_secret_of_another_kid_does_not_verify() -> None:
    policy = rotated(SECRET, OLD_SECRET)
    assert private_cause(forge(secret=OLD_SECRET), policy) == (
        f"the signature is not that of secret {KID}"
    )


def test_policy_without_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        rotated()


@pytest.mark.parametrize(
    "secret", ["", "-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----", '{"kty":"oct"}']
)
def test_secret_that_is_empty_or_another_kind_of_key_is_refused(secret: str) -> None:
    with pytest.raises(jwt.InvalidKeyError):
        rotated(SECRET, secret)


def test_policy_does_not_print_its_secrets() -> None:
    printed = repr(POLICY)
    assert KID in printed
    for private in (SECRET, repr(POLICY.keys[0].signing), repr(POLICY.keys[0].successor)):
        assert private not in printed


def test_kid_is_short_and_is_not_a_bare_digest_of_the_secret() -> None:
    assert len(KID) == 16
    assert KID not in hashlib.sha256(SECRET.encode()).hexdigest()


# The memory of verified tokens


def test_verified_token_is_remembered_until_it_expires() -> None:
    verified, token = VerifiedTokens(10), mint()
    assert verified.get(token, NOW) is None
    added = verified.add(token, decode(token))
    expiry = datetime.fromtimestamp(CLAIMS["exp"], UTC)
    claims = AccessClaims(**CLAIMS)
    assert added == VerifiedToken(claims, token_hash(token), session_hash(claims.sid), expiry)
    assert verified.get(token, expiry - timedelta(microseconds=1)) is added
    assert verified.get(token, expiry) is None
    assert len(verified) == 0


def test_other_spelling_of_a_remembered_token_is_unknown() -> None:
    verified, token = VerifiedTokens(10), mint()
    verified.add(token, decode(token))
    assert verified.get(token + "=", NOW) is None
    signing_input, signature = token.rsplit(".", 1)
    respelled = f"{signing_input}.{with_last_character_changed(signature)}"
    assert verified.get(respelled, NOW) is None


def test_full_memory_forgets_the_token_that_came_first() -> None:
    verified = VerifiedTokens(2)
    tokens = [mint(jti=str(number)) for number in range(3)]
    for token in tokens:
        verified.add(token, decode(token))
    assert [verified.get(token, NOW) is not None for token in tokens] == [False, True, True]


def test_token_added_twice_takes_one_place() -> None:
    verified = VerifiedTokens(2)
    first, second = mint(jti="first"), mint(jti="second")
    for token in (first, second, second):
        verified.add(token, decode(token))
    assert verified.get(first, NOW) is not None
    assert len(verified) == 2


def test_memory_without_room_remembers_nothing() -> None:
    verified, token = VerifiedTokens(0), mint()
    verified.add(token, decode(token))
    assert verified.get(token, NOW) is None


# Hashes and refresh tokens


def test_hash_is_that_of_the_migration_plan() -> None:
    assert token_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.binary(min_size=REFRESH_TOKEN_BYTES, max_size=REFRESH_TOKEN_BYTES))
def test_refresh_token_is_43_characters_that_tell_its_bytes(random_bytes: bytes) -> None:
    token = new_refresh_token(random_bytes)
    assert len(token) == 43
    assert set(token) <= set(BASE64URL)
    assert unbase64url(token) == random_bytes


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_refresh_token_of_another_length_is_not_made(length: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        new_refresh_token(bytes(length))


REFRESH_TOKEN = new_refresh_token(bytes(range(REFRESH_TOKEN_BYTES)))


def test_successor_is_the_same_each_time_and_a_refresh_token_itself() -> None:
    key = POLICY.keys[0].successor
    following = successor(REFRESH_TOKEN, key)
    assert successor(REFRESH_TOKEN, key) == following
    expected = hmac.digest(key, REFRESH_TOKEN.encode(), "sha256")
    assert unbase64url(following) == expected


def test_successors_differ_by_predecessor_and_by_secret() -> None:
    old, new = TokenKey.of(OLD_SECRET).successor, TokenKey.of(SECRET).successor
    first = successor(REFRESH_TOKEN, new)
    tokens = {REFRESH_TOKEN, first, successor(first, new), successor(REFRESH_TOKEN, old)}
    assert len(tokens) == 4


def test_successor_key_serves_nothing_else() -> None:
    key = POLICY.keys[0]
    assert key.successor != key.signing
    assert not key.successor.hex().startswith(key.kid)
    assert successor(REFRESH_TOKEN, key.successor) != successor(REFRESH_TOKEN, key.signing)


@pytest.mark.parametrize("legacy", ["f" * 64, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "zoë"])
def test_refresh_token_of_an_older_form_has_a_successor(legacy: str) -> None:
    assert len(successor(legacy, POLICY.keys[0].successor)) == len(REFRESH_TOKEN)


def test_issued_successor_is_found_after_the_secrets_changed() -> None:
    issued = successor(REFRESH_TOKEN, TokenKey.of(OLD_SECRET).successor)
    keys = rotated(SECRET, OLD_SECRET).keys
    assert issued_successor(REFRESH_TOKEN, token_hash(issued), keys) == issued


def test_issued_successor_is_lost_with_the_secret_that_made_it() -> None:
    issued = successor(REFRESH_TOKEN, TokenKey.of(OLD_SECRET).successor)
    assert issued_successor(REFRESH_TOKEN, token_hash(issued), rotated(SECRET).keys) is None


def test_descendants_are_successors_of_successors() -> None:
    key = POLICY.keys[0].successor
    chain = list(descendants(REFRESH_TOKEN, key))
    assert len(chain) == REMEMBERED_GENERATIONS
    assert chain[0] == successor(REFRESH_TOKEN, key)
    assert chain[1:] == [successor(token, key) for token in chain[:-1]]


def test_session_has_the_hash_of_no_token() -> None:
    assert session_hash("csession") == token_hash("session:csession")
    assert ":" not in set(BASE64URL) | {"."}

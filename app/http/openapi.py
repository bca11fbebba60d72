"""The API's description (OpenAPI 3.1): what Litestar reads from the handlers, completed.

Added by rule, so that no handler can forget it: every error that an operation may answer, the
headers of the contract, and an example of each body.
"""

import json
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import OpenAPI

from app.database.seed import NEW_YEAR, TRIVIA, demo_id
from app.errors import FRAMEWORK_CODES, AppError, every_error
from app.http.envelopes import ErrorOut
from app.http.idempotency import LARGEST_KEPT_BYTES, MOST_KEPT_BYTES, MOST_KEYS
from app.http.members import describe_members
from app.http.public_path import public
from app.http.spreadsheets import XLSX

Json = dict[str, Any]

METHODS = ("get", "post", "patch", "delete")
JSON = "application/json"
BETWEEN_CODES = " · "
IN_EVERY_ANSWER = {400, 401, 429, 500, 503}
"""A query, path or token may always be refused, and a server may always fail."""

ETAG = {"schema": {"type": "string"}, "description": "The version, for If-Match and If-None-Match."}
TAGS = "`ETag` of what one has seen."
KEYS = "Chosen by the client: the same request with the same key is done once."
ABOUT_TAGS = (
    "`ETag` of what one has seen, as it came: a proxy that compresses may have weakened or "
    "lengthened it."
)
ABOUT_KEYS = (
    "Chosen by the client. The same request with the same key is done once and answered as the "
    "first time, for 24 hours, or as long as the platform says. An answer that held a secret or "
    f"had more than {LARGEST_KEPT_BYTES:,} bytes is not repeated: 409, whose `details` have "
    "`done` (true), `status`, `read` (where to look), and of a large one `counts` (`added`, "
    "`failed`, …), `bytes` and `sha256`. A refusal that is so large is made anew. One person may "
    f"have {MOST_KEYS:,} keys in use and {MOST_KEPT_BYTES:,} bytes of kept answers: beyond the "
    "former a new key is refused (429) before anything is done, beyond the latter answers count as "
    "large."
)
LOCATION = {"schema": {"type": "string"}, "description": "The address of what was made."}
FIRST_ERROR = 400
GENERAL = {
    400: ("VALIDATION_ERROR",),
    401: ("UNAUTHORIZED", "INVALID_TOKEN", "INVALID_CREDENTIALS"),
    403: ("FORBIDDEN",),
    404: ("NOT_FOUND",),
    409: ("CONFLICT",),
    412: ("PRECONDITION_FAILED",),
    413: ("PAYLOAD_TOO_LARGE",),
    415: ("UNSUPPORTED_MEDIA_TYPE",),
    429: ("RATE_LIMIT_EXCEEDED",),
    500: ("INTERNAL_ERROR",),
    503: ("SERVICE_UNAVAILABLE",),
}

SIGN_IN = "/api/v1/auth/login"
"""What one does first, and finds first."""
CONVENTIONS_PATH = "/schema/conventions"
ABOUT = """Rooms, participants, prizes and winners.

1. Run `POST /api/v1/auth/login` below: *Try it out*, *Execute*. (In development; elsewhere
   [sign in otherwise]({conventions}#signing-in).)
2. Copy `accessToken` from the answer, press *Authorize* and paste it under *bearer*.
3. From then on *Execute* sends it. The examples are of the demo data, as Alice sees them.

[Errors, pages of lists, `Idempotency-Key` and `ETag`]({conventions}) are the same everywhere."""
ABOUT_PEOPLE = "The access token of a person who signed in."
ABOUT_APPS = (
    "An app's `appId` as the user name and its secret as the password. It is counted by itself and "
    "has the rights of anyone: the permissions of its manifest grant nothing more yet."
)
COMPONENT = re.compile(r"(\w+?)_(?:\w+\.)+(\w+)_")
DESCRIBED_PARAMETERS = {
    "room_id": "The room's id. A private room is there only for those who are in it.",
    "participant_id": "The participant's id (not the person's), or `me` for oneself.",
    "invitation_id": "The invitation's id.",
    "prize_id": "The prize's id.",
    "winner_id": "The winner's id.",
    "round_id": "The round's id.",
    "webhook_id": "The webhook's id.",
    "delivery_id": "The delivery's id.",
    "answer_id": "The answer's id.",
    "user_id": "The person's id.",
    "app_id": "The app's public id, such as `app_lottery_v1`.",
    "session_id": "The session's id.",
    "provider": "`google`, or another configured one.",
    "version": "A published version, such as `1.0.0`.",
    "number": "The draw's number in its room, from 1.",
    "preview": "Change nothing, and tell what would become of the person's rooms.",
    "erase": "What says who they were becomes blank, for good; instead of a body.",
    "reason": "Why; instead of a body.",
    "extra": "What becomes of other columns: `metadata` keeps them in the metadata of each person, "
    "which whoever sees the room sees; `ignore` leaves them out. Without it they are refused.",
    "emailColumn": "The column of a spreadsheet that has the addresses.",
    "nameColumn": "The column that has the names.",
    "firstNameColumn": "The column that has the first half of the names.",
    "lastNameColumn": "The column that has the second half of the names.",
    "roleColumn": "The column that has the roles.",
    "metadataColumn": "A column that is kept in the metadata, such as tickets; several times, too.",
    "bom": "Whether the file begins with a byte order mark, by which Excel knows UTF-8.",
    "prizeId": "Only winners of this prize.",
    "participantId": "Only what this participant won.",
    "claim": "Only wins that have to be claimed, and have come to this.",
    "role": "Only those who have exactly this role.",
    "includeExhausted": "Whether prizes without a unit left are listed.",
    "status": "Only rooms with this status.",
    "appId": "Only rooms of this app.",
    "isPublic": "Only public rooms, or only private ones.",
    "createdBy": "Only rooms that this person opened.",
}
EXAMPLE_PARAMETERS = {
    "room_id": NEW_YEAR,
    "participant_id": demo_id("diananewyear25"),
    "prize_id": demo_id("headphonesnewyear25"),
    "winner_id": demo_id("winnewyear25"),
    "app_id": "app_lottery_v1",
    "version": "1.0.0",
    "number": 1,
    "provider": "google",
}
"""What the page puts into addresses: of the demo data, as Alice sees them."""
QUIZ_PARAMETERS = {"room_id": TRIVIA}
FILES = {
    "text/csv": "A table as CSV (RFC 4180): the first line names the columns.",
    "text/plain": "Text in lines.",
    "text/event-stream": "Events as they happen (Server-Sent Events).",
    "application/zip": "A ZIP archive.",
    XLSX: "A workbook (.xlsx), of which the first sheet is read: the first row names the columns.",
}
AS_FILES = {"text/csv", "application/zip", XLSX}
A_TIME = "2026-01-01T12:00:00.000Z"


def _table(**row: str) -> str:
    """Write a table of one row, as `spreadsheets` does."""
    lines = (row.keys(), row.values())
    cells = ([f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in line] for line in lines)
    return "".join(",".join(line) + "\r\n" for line in cells)


HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_FAILED_LINE = {
    "line": 2,
    "outcome": "FAILED",
    "participantId": None,
    "userId": None,
    "error": {
        "code": "VALIDATION_ERROR",
        "message": "The request is not valid.",
        "details": {"fields": {"$.email": "Not an e-mail address."}},
    },
}
EXAMPLES = {
    "id": "cmwrzdkauhmtgb07dfkrkl6px",
    "email": "diana@example.com",
    "avatar": "https://example.com/diana.png",
    "name": "New Year Lottery",
    "description": "Ring in the new year with a prize.",
    "imageUrl": "https://example.com/phone.png",
    "appId": "app_lottery_v1",
    "appManifestVersion": "1.0.0",
    "manifestVersion": "1.0.0",
    "appSettings": {"ticketCount": 100, "drawDate": "2026-12-31T23:00:00Z"},
    "role": "PARTICIPANT",
    "limit": 20,
    "roomId": NEW_YEAR,
    "participantId": demo_id("diananewyear25"),
    "prizeId": demo_id("headphonesnewyear25"),
    "winnerId": demo_id("winnewyear25"),
    "nextCursor": None,
    "totalIsCapped": False,
    "accessToken": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjbXdy…",
    "refreshToken": "Zk5vJm1uQ0q0lVh3f8Yb2dX6sT9wRr4KpLeGcN7aHiU",
    "challenge": "Yb2dX6sT9wRr4KpLeGcN7aHiUZk5vJm1uQ0q0lVh3f8",
    "expiresIn": 3600,
    "CodeSent.expiresIn": 600,
    "deviceInfo": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "ipAddress": "203.0.113.7",
    "url": "https://events.example.com/api/v1/auth/google?redirect_url=%2F",
    "ProviderAnswer": {"state": HASH, "code": "4/0AY0e-g7", "iss": "https://accounts.google.com"},
    "appSecret": HASH,
    "deprecation": None,
    "RoomAppOut.deprecation": {
        "deprecatedAt": A_TIME,
        "reason": "Tickets can be counted twice.",
    },
    "Deprecation.deprecatedAt": A_TIME,
    "deprecatedAt": None,
    "deprecationReason": None,
    "deletedAt": None,
    "revokedAt": None,
    "cancelledAt": None,
    "drawnAt": None,
    "readyAt": None,
    "closedAt": None,
    "finishedAt": None,
    "settledAt": None,
    "settledBy": None,
    "replaces": None,
    "weightKey": None,
    "takesOverFrom": None,
    "redrawnIn": None,
    "replaced": None,
    "forgetAfter": None,
    "next": None,
    "version": "1.0.0",
    "code": "7K2MX-9QD4R",
    "link": "https://events.example.com/join#code=7K2MX-9QD4R",
    "qrCode": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 29 29">…</svg>',
    "roomName": "New Year Lottery",
    "prizeName": "Headphones",
    "DrawOut.reason": None,
    "Record.reason": None,
    "reason": "Works for the sponsor.",
    "Unawarded.reason": "NO_STOCK",
    "Passed.reason": "GONE",
    "Skipped.reason": "GONE",
    "Part.reason": None,
    "holders": [demo_id("bobnewyear25")],
    "left": [],
    "otherRole": [demo_id("charlienewyear25")],
    "revoked": [],
    "exclusions": [],
    "passed": [],
    "unawarded": [],
    "claims": [],
    "nextInLine": [],
    "Plan.app": "app_lottery_v1@1.0.0",
    "erase": False,
    "types": ["winner.awarded", "winner.revoked"],
    "WebhookOut.url": "https://raffle.example.com/hooks",
    "WebhookWithSecretOut.url": "https://raffle.example.com/hooks",
    "disabledAt": None,
    "disabledReason": None,
    "failingSince": None,
    "formerSecretUntil": None,
    "DeliveryOut": {
        "id": "cmwrzdkauhmtgb07dfkrkl6px",
        "webhookId": "cmwrzdkauhmtgb07dfkrkl6py",
        "eventId": "3699459c-bc29-4e46-9c16-a556d0c6fa45",
        "type": "winner.awarded",
        "timestamp": A_TIME,
        "data": {"roomId": NEW_YEAR, "winnerId": demo_id("winnewyear25")},
        "status": "PENDING",
        "attempts": 1,
        "nextAttemptAt": "2026-01-01T12:00:05.000Z",
        "lastStatus": 500,
        "lastError": "Answered 500.",
        "deliveredAt": None,
        "createdAt": A_TIME,
    },
    "PulledEvent": {
        "id": "3699459c-bc29-4e46-9c16-a556d0c6fa45",
        "type": "winner.awarded",
        "timestamp": A_TIME,
        "data": {"roomId": NEW_YEAR, "winnerId": demo_id("winnewyear25")},
    },
    "after": "19c7a344e704.1-17",
    "hasMore": False,
    "hasGap": False,
    "RoomInput": {
        "name": "Summer party",
        "appId": "app_lottery_v1",
        "appSettings": {"ticketCount": 100, "drawDate": "2027-07-01T18:00:00Z"},
        "description": "Ice cream for everybody, and prizes for some.",
    },
    "RoomChange": {"description": "Ring in the new year with a prize.", "showName": "INITIALS"},
    "AppChange": {"isActive": True},
    "PrizeInput": {
        "name": "Tickets for the opera",
        "description": "Two seats, on a day of your choice.",
        "imageUrl": "https://example.com/opera.png",
        "quantity": 2,
    },
    "PrizeChange": {"description": "Wireless, in black."},
    "AwardInput": {
        "participantId": demo_id("diananewyear25"),
        "prizeId": demo_id("headphonesnewyear25"),
    },
    "ParticipantChange": {"role": "PARTICIPANT", "metadata": {"ticket": "A-17"}},
    "InvitationInput": {
        "role": "PARTICIPANT",
        "maxUses": 50,
        "expiresAt": "2027-12-31T23:00:00Z",
    },
    "DrawInput": {"public": "426"},
    "metadata": {"ticket": "A-17"},
    "AttendeeOut": {
        "id": "cmwrzdkauhmtgb07dfkrkl6px",
        "name": "Diana Martinez",
        "avatar": "https://example.com/diana.png",
    },
    "PersonOut": {
        "id": "cmwrzdkauhmtgb07dfkrkl6px",
        "name": "Diana Martinez",
        "avatar": "https://example.com/diana.png",
    },
    "ShownQuestion": {
        "id": "reindeer",
        "text": "How many reindeer pull the sleigh, Rudolph included?",
        "options": ["Eight", "Nine", "Ten"],
        "timeLimit": 20,
    },
    "questionId": "reindeer",
    "participantName": "Diana Martinez",
    "UserChange": {"name": "Diana Martinez"},
    "signature": HASH,
    "public": "3220342036",
    "commitment": HASH,
    "recordDigest": HASH,
    "claimsDigest": HASH,
    "at": "2026-01-01T12:00:00.000Z",
    "by": "2026-01-08T12:00:00.000Z",
    "planDigest": HASH,
    "entrantsDigest": HASH,
    "secret": HASH,
    "seed": HASH,
    "ticket": HASH,
    "AnnouncementInput": {
        "prizes": [{"id": demo_id("headphonesnewyear25"), "quantity": 1}],
        "entropy": {
            "kind": "text",
            "label": "Three dice on stage",
            "format": {"alphabet": "1-6", "length": 3},
        },
    },
    "ParticipantInput": {"email": "erin@example.com", "name": "Erin", "role": "PARTICIPANT"},
    "Ways": {
        "providers": [{"name": "google", "title": "Google"}],
        "email": True,
        "demo": False,
    },
    "LinesOut": {
        "added": 1,
        "cameBack": 0,
        "alreadyIn": 0,
        "failed": 1,
        "faults": [_FAILED_LINE],
        "lines": [
            {
                "line": 1,
                "outcome": "ADDED",
                "participantId": "cmwrzdkauhmtgb07dfkrkl6px",
                "userId": None,
                "error": None,
            },
            _FAILED_LINE,
        ],
    },
    "LinesForeseen": {
        "added": 1,
        "cameBack": 0,
        "alreadyIn": 0,
        "failed": 1,
        "refusal": None,
        "columns": [
            {
                "name": "E-mail",
                "readAs": "email",
                "examples": ["erin@example.com"],
                "isWeight": False,
            }
        ],
        "faults": [_FAILED_LINE],
        "lines": [
            {
                "line": 1,
                "outcome": "ADDED",
                "userId": None,
                "email": "erin@example.com",
                "name": "Erin",
                "role": "PARTICIPANT",
                "metadata": None,
            }
        ],
    },
    "exportParticipants": _table(
        id="cmwrzdkauhmtgb07dfkrkl6px",
        userId="cmwrzdkauhmtgb07dfkrkl6py",
        name="Diana Martinez",
        email="diana@example.com",
        role="PARTICIPANT",
        metadata='{"ticket":"A-17"}',
        ownMetadata="",
        joinedAt=A_TIME,
    ),
    "exportExpectedPeople": _table(
        id="cmwrzdkauhmtgb07dfkrkl6px",
        name="Diana Martinez",
        email="diana@example.com",
        role="PARTICIPANT",
        joinedAt=A_TIME,
        link="https://events.example.com/join?room=cmwrzdkauhmtgb07dfkrkl6pz",
    ),
    "exportWinners": _table(
        id="cmwrzdkauhmtgb07dfkrkl6px",
        participantId="cmwrzdkauhmtgb07dfkrkl6py",
        userId="cmwrzdkauhmtgb07dfkrkl6pz",
        name="Diana Martinez",
        email="diana@example.com",
        prizeId="cmwrzdkauhmtgb07dfkrkl6q0",
        prizeName="Headphones",
        claimStatus="PENDING",
        claimBy="2026-01-08T12:00:00.000Z",
        metadata="",
        createdAt=A_TIME,
    ),
    "text/event-stream": (
        'id: 19c7a344e704.1-17\nevent: prize.deleted\ndata: {"id":"3699459c-bc29-4e46-9c16-'
        'a556d0c6fa45","type":"prize.deleted",…}\n\n'
    ),
    "text/plain": "cmwrzdkauhmtgb07dfkrkl6px 1\n",
}
"""What a member or a component of this name looks like. `…Id` looks like `id`."""
MESSAGES = {error.code: error.default_message for error in every_error()}
CODES = {
    **{code: status for status, code in FRAMEWORK_CODES.items()},
    **{error.code: error.status for error in every_error()},
}
MEANINGS = {
    "METHOD_NOT_ALLOWED": "The address does not take this method.",
    "PAYLOAD_TOO_LARGE": "The body is larger than the address takes.",
    **{
        e.code: (e.__doc__ or "").splitlines()[0].replace("``", "`")
        for e in every_error()
        if "code" in vars(e) or AppError in e.__bases__  # others are a kind of one with this code
    },
}


def description() -> str:
    """Say how to begin, and where the rest is told."""
    return ABOUT.format(conventions=public(CONVENTIONS_PATH))


def refusals(*errors: type[AppError]) -> dict[int, ResponseSpec]:
    """Say which errors of its own an operation answers, for the `responses` of its handler."""
    by_status: dict[int, list[str]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error.code)
    return {
        status: ResponseSpec(
            data_container=ErrorOut,
            description=BETWEEN_CODES.join(codes),
            generate_examples=False,
        )
        for status, codes in by_status.items()
    }


@dataclass
class Document(OpenAPI):
    """The document that is served, and that `litestar schema openapi` writes."""

    def to_schema(self) -> Json:
        """Write it as JSON values."""
        document: Json = _plain_names(msgspec.to_builtins(super().to_schema()))
        describe_members(document)
        document["paths"] = {SIGN_IN: document["paths"].pop(SIGN_IN), **document["paths"]}
        for path, method, operation in operations(document):
            _describe_parameters(operation)
            _describe_body(operation)
            _add_headers(method, path, operation)
            _add_errors(document, method, path, operation)
            _add_security(path, operation)
        sent = set[str]()
        for _, _, operation in operations(document):
            body = operation.get("requestBody", {}).get("content", {}).get(JSON)
            sent |= _close_bodies(document, body)
            _add_examples(document, operation)
        _place_defaults(document, sent)
        whole: Json = _with_unions(document)
        return whole


class Config(OpenAPIConfig):
    """Makes the document of our kind."""

    def to_openapi_schema(self) -> OpenAPI:
        """Begin the document."""
        begun = super().to_openapi_schema()
        return Document(**{field.name: getattr(begun, field.name) for field in fields(begun)})


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield each operation's path, method and description."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _plain_names(document: Json) -> Json:
    """Name `Data_app.rooms.schemas.RoomOut_` of the components `Data_RoomOut`."""
    names = {name: COMPONENT.sub(r"\1_\2", name) for name in document["components"]["schemas"]}

    def renamed(value: Any) -> Any:
        match value:
            case {"$ref": str(reference)}:
                prefix, _, name = reference.rpartition("/")
                return {**value, "$ref": f"{prefix}/{names.get(name, name)}"}
            case {"pattern": str(pattern)} if pattern.endswith(r"\Z"):  # Python's alone
                return {**value, "pattern": pattern.removesuffix(r"\Z") + "$"}
            case dict():
                return {key: renamed(member) for key, member in value.items()}
            case list():
                return [renamed(member) for member in value]
            case _:
                return value

    plain: Json = renamed(document)
    schemas = plain["components"]["schemas"]
    plain["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    return plain


def _describe_parameters(operation: Json) -> None:
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", DESCRIBED_PARAMETERS.get(parameter["name"], ""))
        schema = parameter["schema"]
        # A query has no null: a parameter that may be missing is not required, and that is all.
        kinds = [kind for kind in schema.pop("oneOf", ()) if kind != {"type": "null"}]
        parameter["schema"] = schema = {**(kinds[0] if kinds else {}), **schema}
        if isinstance(schema.get("type"), list):
            (schema["type"],) = [kind for kind in schema["type"] if kind != "null"]
            schema["enum"] = [value for value in schema["enum"] if value is not None]
        if parameter["in"] == "path":
            parameter["schema"].setdefault("minLength", 1)
            place = parameter["name"]
            examples = QUIZ_PARAMETERS if operation["tags"] == ["quiz"] else EXAMPLE_PARAMETERS
            if place in examples:
                parameter["example"] = examples[place]


def _with_unions(value: Any) -> Any:
    """Write unions as `anyOf`: `oneOf` is violated by what two members of a union allow."""
    match value:
        case {"oneOf": list(kinds), **rest}:
            return _union([_with_unions(kind) for kind in kinds], _with_unions(rest))
        case dict():
            return {name: _with_unions(member) for name, member in value.items()}
        case list():
            return [_with_unions(member) for member in value]
        case _:
            return value


def _union(kinds: list[Json], rest: Json) -> Json:
    """Write a union without unions in it, without `...` of a tuple, and of one kind as that."""
    flat = [each for kind in kinds for each in kind.get("anyOf", (kind,)) if each]
    return {**flat[0], **rest} if len(flat) == 1 else {"anyOf": flat, **rest}


def _close_bodies(document: Json, part: Any) -> set[str]:
    """Say of every object that is sent to us as JSON that it has no other members.

    Returns:
        The components that are sent.
    """
    match part:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            component = document["components"]["schemas"][name]
            if "properties" not in component or "additionalProperties" in component:
                return set()
            component["additionalProperties"] = False
            return {name} | _close_bodies(document, component)
        case dict():
            return set().union(*(_close_bodies(document, each) for each in part.values()))
        case list():
            return set().union(*(_close_bodies(document, each) for each in part))
        case _:
            return set()


def _place_defaults(document: Json, sent: AbstractSet[str]) -> None:
    """Say of what is sent in words what it is if it is left out, and that answers always have it.

    Generators take a member with a `default` for one that is always there.
    """
    for component, schema in document["components"]["schemas"].items():
        for name, member in schema.get("properties", {}).items():
            if "default" not in member:
                continue
            default = member.pop("default")
            if component in sent:
                said = f"{member.get('description', '')} Left out: `{json.dumps(default)}`."
                member["description"] = said.lstrip()
            elif name not in schema.setdefault("required", []):
                schema["required"].append(name)


def _describe_body(operation: Json) -> None:
    body = operation.get("requestBody", {})
    for content in body.get("content", {}).values():
        body["required"] = {"type": "null"} not in content["schema"].get("oneOf", ())


def _add_headers(method: str, path: str, operation: Json) -> None:
    names = {"get": "If-None-Match", "patch": "If-Match", "delete": "If-Match"}
    has_tag = path.endswith("}") and not _is_of_auth(path)
    if path.endswith("/upgrade"):  # A change of the room, whose tag the preview shows.
        has_tag, names = True, {"post": "If-Match"}
    if has_tag and method in names:
        operation.setdefault("parameters", []).append(
            _header(names[method], _told_at(TAGS, "tags"))
        )
        if "200" in operation["responses"] and method != "delete":
            operation["responses"]["200"]["headers"] = {"ETag": ETAG}
    if "201" in operation["responses"] and _takes_keys(method, path) and "/secret" not in path:
        operation["responses"]["201"]["headers"] = {"Location": LOCATION}
    if has_tag and method == "get":
        operation["responses"]["304"] = {"description": "It is as one has seen it."}
    if _takes_keys(method, path):
        operation.setdefault("parameters", []).append(
            _header("Idempotency-Key", _told_at(KEYS, "keys"), pattern="^[!-~]{1,255}$")
        )


def _told_at(said: str, place: str) -> str:
    return f"{said} [More]({public(CONVENTIONS_PATH)}#{place})."


def _header(name: str, description: str, **schema: Any) -> Json:
    """Describe a header, without an example: the page would send it."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _is_of_auth(path: str) -> bool:
    return path.startswith("/api/v1/auth/")


def _takes_keys(method: str, path: str) -> bool:
    return method == "post" and not _is_of_auth(path)


def _add_errors(document: Json, method: str, path: str, operation: Json) -> None:
    expected = set(IN_EVERY_ANSWER)
    if path.startswith("/api/"):
        expected.add(403)  # to guests, whom most is closed to
    if "{" in path:
        expected.add(404)
    if "requestBody" in operation:
        expected |= {413, 415}
    if any(each["name"] == "If-Match" for each in operation.get("parameters", ())):
        expected.add(412)
    if _takes_keys(method, path):
        expected |= {409, 413}
    responses = operation["responses"]
    for status in expected | {int(status) for status in responses if int(status) >= FIRST_ERROR}:
        own = responses.get(str(status), {}).get("description", "").split(BETWEEN_CODES)
        general = GENERAL[status] if status in expected else ()
        # What is no code of ours is Litestar's own description.
        codes = [code for code in dict.fromkeys((*own, *general)) if code in CODES]
        responses[str(status)] = _error_response(document, codes)
    operation["responses"] = dict(sorted(responses.items()))


def _add_security(path: str, operation: Json) -> None:
    """Say of what anyone may read that people see what is theirs, and apps are counted apart."""
    if path.startswith("/api/") and not _is_of_auth(path):
        operation.setdefault("security", [{}, {"bearer": []}, {"app": []}])


def _error_response(document: Json, codes: list[str]) -> Json:
    examples = {code: {"value": {"error": _error_example(code)}} for code in codes}
    schema = {"$ref": f"#/components/schemas/{_error_component(document, codes)}"}
    content = {"schema": schema, "examples": examples}
    return {"description": BETWEEN_CODES.join(codes), "content": {JSON: content}}


def _error_component(document: Json, codes: list[str]) -> str:
    """Name the component of errors that have one of these codes, such as `ConflictOrRoomClosed`."""
    schemas = document["components"]["schemas"]
    name = "Or".join(code.title().replace("_", "") for code in sorted(codes))
    if name not in schemas:
        body = schemas["ErrorBody"]
        code = {
            "type": "string",
            "enum": sorted(codes),
            "description": body["properties"]["code"]["description"],
        }
        schemas[f"{name}Body"] = {
            **body,
            "title": f"{name}Body",
            "properties": {**body["properties"], "code": code},
        }
        error = {"$ref": f"#/components/schemas/{name}Body"}
        schemas[name] = {**schemas["ErrorOut"], "title": name, "properties": {"error": error}}
    return name


def _error_example(code: str) -> Json:
    details = {"fields": {"$.name": "Required."}} if code == "VALIDATION_ERROR" else {}
    message = MESSAGES.get(code, "The request can't be served.")
    return {"code": code, "message": message, "details": details, "requestId": EXAMPLES["id"]}


def _add_examples(document: Json, operation: Json) -> None:
    bodies = [operation.get("requestBody", {})]
    bodies += [body for status, body in operation["responses"].items() if int(status) < FIRST_ERROR]
    for body in bodies:
        for media_type, content in body.get("content", {}).items():
            if media_type in FILES:
                _describe_file(operation, body, media_type)
            elif "example" not in content:
                content["example"] = example_of(document, content["schema"], media_type)


def _describe_file(operation: Json, body: Json, media_type: str) -> None:
    """Say of what is no JSON what it is: a file, or a text that comes bit by bit."""
    content, is_text = body["content"][media_type], media_type.startswith("text/")
    is_sent = body is operation.get("requestBody")
    binary = {"format": "binary"} if media_type in AS_FILES else {}
    content["schema"] = {"type": "string", **binary, "description": FILES[media_type]}
    if not is_sent:
        body["description"] = FILES[media_type]
    if is_text and "example" not in content:
        content["example"] = EXAMPLES.get(operation["operationId"], EXAMPLES.get(media_type))


def example_of(document: Json, schema: Json, name: str = "") -> Any:
    """Make an example of what a schema describes, of the examples of its members.

    Args:
        document: Where its references lead.
        schema: What is described.
        name: The member or the component that it describes.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if name in EXAMPLES:
        return EXAMPLES[name]
    match schema:
        case {"$ref": str(reference)}:
            component = reference.rpartition("/")[2]
            example = example_of(document, document["components"]["schemas"][component], component)
        case {"oneOf": [{"type": "null"}, kind, *_]} | {"oneOf": [kind, *_]}:
            example = example_of(document, kind, name)
        case {"properties": dict(members)}:
            example = {
                key: EXAMPLES[f"{name}.{key}"]
                if f"{name}.{key}" in EXAMPLES
                else example_of(document, member, key)
                for key, member in members.items()
            }
        case {"type": "array", "items": item}:
            example = [example_of(document, item, name)]
        case {"enum": [first, *_]} | {"const": first}:
            example = first
        case _:
            example = _example_by_name(schema, name)
    return example


def _example_by_name(schema: Json, name: str) -> Any:
    if name.endswith("Id") or name == "createdBy":
        return EXAMPLES["id"]
    if name.endswith("At"):
        return A_TIME
    examples = {"integer": 1, "number": 1, "boolean": True, "object": {}, "null": None}
    return examples.get(str(schema.get("type")), "text")

"""The API's description (OpenAPI 3.1): what Litestar reads from the handlers, completed.

Added by rule, so that no handler can forget it: every error that an operation may answer, the
headers of the contract, and an example of each body.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import OpenAPI

from app.errors import FRAMEWORK_CODES, AppError, every_error
from app.http.envelopes import ErrorOut
from app.http.idempotency import LARGEST_KEPT_BYTES, MOST_KEPT_BYTES, MOST_KEYS

Json = dict[str, Any]

METHODS = ("get", "post", "patch", "delete")
JSON = "application/json"
BETWEEN_CODES = " · "
IN_EVERY_ANSWER = {400, 401, 429, 500, 503}
"""A query, path or token may always be refused, and a server may always fail."""

ETAG = {"schema": {"type": "string"}, "description": "The version, for If-Match and If-None-Match."}
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

ABOUT = """Rooms, participants, prizes and winners.

**To sign in here:** run `POST /api/v1/auth/login` below (development; *Try it out*, *Execute*), or
sign in with a provider at `/api/v1/auth/google`, or with a code that comes by mail
(`POST /api/v1/auth/email/code`, then `…/login`). Copy `accessToken` from the answer, press
*Authorize* and paste it under *bearer*. From then on *Execute* sends it.

A program sends it as `Authorization: Bearer …`, and buys the next one at
`POST /api/v1/auth/refresh` before it expires after an hour. An app identifies itself with its id
and secret instead (`Authorization: Basic …`), and reads what anyone may read, more often."""
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
    "extra": "`metadata`: what CSV has in other columns is kept in the metadata of each person.",
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
HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
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
    "nextCursor": None,
    "totalIsCapped": False,
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
        "prizes": [{"id": "cmwrzdkauhmtgb07dfkrkl6px", "quantity": 1}],
        "entropy": {
            "kind": "text",
            "label": "Three dice on stage",
            "format": {"alphabet": "1-6", "length": 3},
        },
    },
    "ParticipantInput": {"email": "diana@example.com", "name": "Diana", "role": "PARTICIPANT"},
    "LinesOut": {
        "added": 1,
        "cameBack": 0,
        "alreadyIn": 0,
        "failed": 1,
        "lines": [
            {
                "line": 1,
                "outcome": "ADDED",
                "participantId": "cmwrzdkauhmtgb07dfkrkl6px",
                "userId": None,
                "error": None,
            },
            {
                "line": 2,
                "outcome": "FAILED",
                "participantId": None,
                "userId": None,
                "error": {
                    "code": "VALIDATION_ERROR",
                    "message": "The request is not valid.",
                    "details": {"fields": {"$.email": "Not an e-mail address."}},
                },
            },
        ],
    },
    "text/csv": '"id","name"\r\n"cmwrzdkauhmtgb07dfkrkl6px","Diana Martinez"\r\n',
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
DESCRIPTION = f"""{ABOUT}

Every error has a `code`, which programs act upon:

| code | status | |
|---|---|---|
""" + "\n".join(
    f"| `{code}` | {status} | {MEANINGS[code]} |"
    for code, status in sorted(CODES.items(), key=lambda item: (item[1], item[0]))
)
A_TIME = "2026-01-01T12:00:00.000Z"


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
        for path, method, operation in operations(document):
            _describe_parameters(operation)
            _describe_body(operation)
            _add_headers(method, path, operation)
            _add_errors(method, path, operation)
            _add_security(path, operation)
        for _, _, operation in operations(document):
            _close_bodies(document, operation.get("requestBody", {}).get("content", {}).get(JSON))
            _add_examples(document, operation)
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
        parameter["schema"] = {**(kinds[0] if kinds else {}), **schema}
        if parameter["in"] == "path":
            parameter["schema"].setdefault("minLength", 1)


def _with_unions(value: Any) -> Any:
    """Write unions as `anyOf`: `oneOf` is violated by what two members of a union allow."""
    match value:
        case dict():
            return {
                "anyOf" if name == "oneOf" else name: _with_unions(member)
                for name, member in value.items()
            }
        case list():
            return [_with_unions(member) for member in value]
        case _:
            return value


def _close_bodies(document: Json, part: Any) -> None:
    """Say of every object that is sent to us as JSON that it has no other members."""
    match part:
        case {"$ref": str(reference)}:
            component = document["components"]["schemas"][reference.rpartition("/")[2]]
            if "properties" in component and "additionalProperties" not in component:
                component["additionalProperties"] = False
                _close_bodies(document, component)
        case dict():
            for member in part.values():
                _close_bodies(document, member)
        case list():
            for member in part:
                _close_bodies(document, member)


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
        operation.setdefault("parameters", []).append(_header(names[method], '"12-ab"', ABOUT_TAGS))
        if "200" in operation["responses"] and method != "delete":
            operation["responses"]["200"]["headers"] = {"ETag": ETAG}
    if "201" in operation["responses"] and _takes_keys(method, path) and "/secret" not in path:
        operation["responses"]["201"]["headers"] = {"Location": LOCATION}
    if has_tag and method == "get":
        operation["responses"]["304"] = {"description": "It is as one has seen it."}
    if _takes_keys(method, path):
        operation.setdefault("parameters", []).append(
            _header(
                "Idempotency-Key",
                "7c9e6679",
                ABOUT_KEYS,
                pattern="^[!-~]{1,255}$",
            )
        )


def _header(name: str, example: str, description: str, **schema: Any) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def _is_of_auth(path: str) -> bool:
    return path.startswith("/api/v1/auth/")


def _takes_keys(method: str, path: str) -> bool:
    return method == "post" and not _is_of_auth(path)


def _add_errors(method: str, path: str, operation: Json) -> None:
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
        responses[str(status)] = _error_response(codes)
    operation["responses"] = dict(sorted(responses.items()))


def _add_security(path: str, operation: Json) -> None:
    """Say of what anyone may read that people see what is theirs, and apps are counted apart."""
    if path.startswith("/api/") and not _is_of_auth(path):
        operation.setdefault("security", [{}, {"bearer": []}, {"app": []}])


def _error_response(codes: list[str]) -> Json:
    examples = {code: {"value": {"error": _error_example(code)}} for code in codes}
    content = {"schema": {"$ref": "#/components/schemas/ErrorOut"}, "examples": examples}
    return {"description": BETWEEN_CODES.join(codes), "content": {JSON: content}}


def _error_example(code: str) -> Json:
    details = {"fields": {"$.name": "Required."}} if code == "VALIDATION_ERROR" else {}
    message = MESSAGES.get(code, "The request can't be served.")
    return {"code": code, "message": message, "details": details, "requestId": EXAMPLES["id"]}


def _add_examples(document: Json, operation: Json) -> None:
    bodies = [operation.get("requestBody", {})]
    bodies += [body for status, body in operation["responses"].items() if int(status) < FIRST_ERROR]
    for body in bodies:
        for media_type, content in body.get("content", {}).items():
            if media_type.startswith("text/"):
                content["schema"] = {"type": "string"}
            content.setdefault("example", example_of(document, content["schema"], media_type))


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
            example = {key: example_of(document, member, key) for key, member in members.items()}
        case {"type": "array", "items": item}:
            example = [example_of(document, item)]
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

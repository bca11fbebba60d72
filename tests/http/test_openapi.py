"""The description of the API: whole, true to itself, and served without anybody else's server."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.asgi import create_app
from app.database.seed import seed
from app.errors import every_error
from app.http.openapi import operations
from app.http.spreadsheets import XLSX
from tests.api_snapshot import KEPT, taken

EXAMPLES_IN_ORDER = (
    *("signInAsDemoPerson", "getMe", "listRooms", "getRoom", "updateRoom", "createRoom"),
    *("listPrizes", "getPrize", "createPrize", "updatePrize", "listParticipants"),
    *("getParticipant", "updateParticipant", "addParticipant", "addManyParticipants"),
    *("createInvitation", "listWinners", "getWinner", "awardPrize", "announceDraw", "getDraw"),
    *("closeDraw", "drawWinners", "getDrawRecord", "getDrawWinners", "exportDrawEntrants"),
    *("exportParticipants", "exportWinners", "createEventTicket"),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi_schema.to_schema()


def test_paths_and_shapes_are_the_kept_ones() -> None:
    assert taken() == json.loads(KEPT.read_text()), "renew: python -m tests.api_snapshot"


def test_every_operation_is_described_with_an_example(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        place = f"{method} {path}"
        assert operation["summary"], place
        assert operation["description"].endswith("."), place
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (place, parameter["name"])
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            for media_type, content in body.get("content", {}).items():
                is_shown = media_type not in ("application/zip", XLSX)
                assert is_shown == bool(content.keys() & {"example", "examples"}), place


def test_every_operation_has_a_name_for_generated_clients(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert [name for name in names if not re.fullmatch("[a-z]+([A-Z][a-z]+)+", name)] == []
    assert len(set(names)) == len(names)


def test_every_component_and_member_is_described(document: dict[str, Any]) -> None:
    components = document["components"]["schemas"]
    assert [name for name, schema in components.items() if not schema.get("description")] == []
    undescribed = [
        f"{component}.{name}"
        for component, schema in components.items()
        for name, member in schema.get("properties", {}).items()
        if not member.get("description") and "#/components" not in json.dumps(member)
    ]
    assert undescribed == [], "say it under the member, or in app/http/members.py"


def test_every_text_of_an_example_is_sensible(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (each for body in bodies for each in body.get("content", {}).values()):
            unsaid = [name for name, value in members_of(content.get("example")) if value == "text"]
            assert set(unsaid) <= {"kind"}, (method, path, "say it in EXAMPLES")


def members_of(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            for key, member in value.items():
                yield from members_of(member, key)
        case list():
            for member in value:
                yield from members_of(member, name)
        case _:
            yield name, value


def test_unions_and_defaults_are_what_generators_understand(document: dict[str, Any]) -> None:
    """A `default` makes a member one that must be sent, and a union with one is not understood."""
    for name, schema in document["components"]["schemas"].items():
        for member in schema.get("properties", {}).values():
            assert "default" not in member, name
            kinds = member.get("anyOf", [{}, {}])
            assert len(kinds) > 1, name
            assert not any("anyOf" in kind for kind in kinds), name


def test_times_are_times(document: dict[str, Any]) -> None:
    room = document["components"]["schemas"]["RoomOut"]["properties"]
    assert room["createdAt"]["format"] == "date-time"
    assert {"type": "string", "format": "date-time"} in room["deletedAt"]["anyOf"]


def test_a_refusal_says_which_codes_it_has(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]["application/json"]
                error = referred(document, content["schema"])["properties"]["error"]
                code = referred(document, error)["properties"]["code"]
                assert code["enum"] == sorted(content["examples"]), (method, path, status)


def referred(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def test_no_header_is_filled_in(document: dict[str, Any]) -> None:
    """The page would send it: a second POST with one key, or a change of what has another tag."""
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] != "header" or "example" not in parameter


def test_each_part_of_the_page_has_its_place(document: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    assert used - {"health"} == {tag["name"] for tag in document["tags"]}


def test_every_example_is_what_its_schema_describes(document: dict[str, Any]) -> None:
    checked = 0
    for path, method, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        contents = [each for body in bodies for each in body.get("content", {}).values()]
        for content in contents:
            if "schema" not in content:
                continue
            schema = {**content["schema"], "components": document["components"]}
            validator = jsonschema_rs.validator_for(schema)
            examples = [each["value"] for each in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                errors = [error.message for error in validator.iter_errors(example)]
                assert not errors, (method, path, errors)
                checked += 1
    assert checked > 100


def test_every_error_belongs_to_the_tree_or_the_framework(document: dict[str, Any]) -> None:
    known = {error.code for error in every_error()} | {"PAYLOAD_TOO_LARGE"}
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                codes = set(response["content"]["application/json"]["examples"])
                assert codes <= known, (method, path)
                assert codes, (method, path, status)


async def test_the_page_needs_nobody_else(client: httpx.AsyncClient) -> None:
    page = await client.get("/schema")
    assert page.status_code == 200
    assert '<html lang="en">' in page.text
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
    assert addresses
    for address in addresses:
        assert address.startswith(("/schema", "data:")), address
        if address.startswith("/schema/static"):
            answer = await client.get(address)
            assert (answer.status_code, len(answer.content) > 1000) == (200, True), address


async def test_what_the_page_leads_to_is_there(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    places = set(re.findall(r"\]\((/[^)#]+)#?([^)]*)\)", json.dumps(document)))
    assert {place for _, place in places} >= {"signing-in", "keys", "tags"}
    for path, place in places:
        page = await client.get(path)
        assert page.status_code == 200
        assert not place or f'id="{place}"' in page.text


async def test_the_description_is_served(client: httpx.AsyncClient) -> None:
    served = (await client.get("/schema/openapi.json")).json()
    assert served["openapi"].startswith("3.1")
    assert served["paths"]


async def test_the_examples_work_as_they_are_with_the_demo_data(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    await seed()
    by_name = {
        each["operationId"]: (path, method, each) for path, method, each in operations(document)
    }
    headers: dict[str, str] = {}
    for name in EXAMPLES_IN_ORDER:
        path, method, operation = by_name[name]
        for each in operation.get("parameters", ()):
            path = path.replace(f"{{{each['name']}}}", str(each.get("example")))
        bodies = operation.get("requestBody", {}).get("content", {})
        body = bodies.get("application/json", {}).get("example")
        answer = await client.request(method, path, json=body, headers=headers)
        assert answer.status_code in {200, 201}, (name, answer.text)
        if name == "signInAsDemoPerson":
            headers = {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}

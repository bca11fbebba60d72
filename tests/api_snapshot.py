"""Paths and shapes of the API, kept so that a change of the contract shows in a review.

`python -m tests.api_snapshot` renews the kept ones.
"""

import json
from pathlib import Path
from typing import Any

from app.asgi import create_app
from app.http.openapi import operations

KEPT = Path(__file__).with_name("api_snapshot.json")


def taken() -> dict[str, Any]:
    """Return each operation's name, parameters, body and answers, and each component's members."""
    document = create_app().openapi_schema.to_schema()
    shapes = {f"{method.upper()} {path}": shape(op) for path, method, op in operations(document)}
    schemas = document["components"]["schemas"]
    components = {
        name: members(schema) for name, schema in schemas.items() if not is_error(name, schemas)
    }
    return {
        "operations": dict(sorted(shapes.items())),
        "components": dict(sorted(components.items())),
    }


def is_error(name: str, schemas: dict[str, Any]) -> bool:
    """Tell what is made of an operation's codes, which are kept with it."""
    whole = schemas.get(name.removesuffix("Body"), {})
    return name not in {"ErrorOut", "ErrorBody"} and whole.get("properties", {}).keys() == {"error"}


def shape(operation: dict[str, Any]) -> dict[str, Any]:
    parameters = [f"{each['in']} {each['name']}" for each in operation.get("parameters", ())]
    answers = {
        status: response["description"] if int(status) >= 400 else body_of(response)
        for status, response in operation["responses"].items()
    }
    return {
        "name": operation["operationId"],
        "parameters": sorted(parameters),
        "body": body_of(operation.get("requestBody", {})),
        "answers": answers,
    }


def body_of(part: dict[str, Any]) -> str:
    return ", ".join(
        f"{media_type}: {kind(content['schema'])}"
        for media_type, content in part.get("content", {}).items()
    )


def kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(sorted(kind(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"[{kind(schema['items'])}]"
    return str(schema.get("type", "anything"))


def members(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"]
    required = schema.get("required", ())
    return {
        name + ("" if name in required else "?"): kind(member)
        for name, member in sorted(schema.get("properties", {}).items())
    }


if __name__ == "__main__":
    KEPT.write_text(json.dumps(taken(), indent=1, ensure_ascii=False) + "\n")

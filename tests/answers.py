"""Reading what the API answers."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import httpx

from app.asgi import create_app
from app.http.openapi import operations

Headers = dict[str, str]


def code_of(answer: httpx.Response) -> str:
    """Return the code of an error."""
    code: str = answer.json()["error"]["code"]
    return code


async def check_description(answer: httpx.Response) -> None:
    """Check that the API's description has an operation's answer, with its status and its code."""
    operation = operation_of(answer.request)
    if operation is None:
        return
    described = operation["responses"].get(str(answer.status_code))
    assert described is not None, f"not described: {answer.request.url} {answer.status_code}"
    if answer.is_error:
        await answer.aread()
        codes = described["content"]["application/json"]["examples"]
        assert code_of(answer) in codes, f"not described: {answer.request.url} {answer.text}"


def operation_of(request: httpx.Request) -> Mapping[str, Any] | None:
    """Return the description of the operation that a request means."""
    for method, pattern, operation in _described():
        if method == request.method.lower() and pattern.fullmatch(request.url.path):
            return operation
    return None


@functools.cache
def _described() -> list[tuple[str, re.Pattern[str], Mapping[str, Any]]]:
    """Return each operation; those without a parameter in the address first."""
    found = operations(create_app().openapi_schema.to_schema())
    return [
        (method, re.compile(re.sub(r"{\w+}", "[^/]+", path)), operation)
        for path, method, operation in sorted(found, key=lambda each: each[0].count("{"))
    ]

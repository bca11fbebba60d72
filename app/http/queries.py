"""Query parameters: what an endpoint does not have, or what won't do, is refused by name."""

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from app.errors import ValidationFailed
from app.http.faults import in_words


async def refuse_odd_queries(request: Request[Any, Any, State]) -> None:
    """Refuse, by name, query parameters that the endpoint doesn't have or that come twice.

    Raises:
        ValidationFailed: There are some.
    """
    if not request.query_params:
        return
    known = public_names(request.route_handler).values()
    faults = {}
    for name in request.query_params:
        if name not in known:
            faults[name] = "Unknown query parameter."
        elif len(request.query_params.getall(name)) > 1:
            faults[name] = "Give it once."
        elif request.query_params[name] == "null":
            # Litestar would take it for a parameter that is missing.
            faults[name] = "Leave it out instead."
    if faults:
        raise ValidationFailed.at({**faults_of_values(request), **faults})


def faults_of_values(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Name every query parameter whose value won't do: Litestar stops where it met the first."""
    types = types_of(request.route_handler)
    faults = {}
    for name, public in public_names(request.route_handler).items():
        if public in request.query_params:
            try:
                msgspec.convert(request.query_params[public], types[name], strict=False)
            except msgspec.ValidationError as error:
                faults[public] = in_words(str(error), types[name])
    return faults


@functools.cache
def public_names(handler: HTTPRouteHandler) -> Mapping[str, str]:
    """Return the parameters of a handler and of what it depends on, with their public names."""
    providers = handler.resolve_dependencies().values()
    signatures = [handler.parsed_fn_signature, *(each.parsed_fn_signature for each in providers)]
    return {
        name: getattr(parameter.kwarg_definition, "name", None) or name
        for signature in signatures
        for name, parameter in signature.parameters.items()
    } | {"data": "$"}


def types_of(handler: HTTPRouteHandler) -> Mapping[str, Any]:
    """Return the types of the same parameters, with their bounds."""
    providers = handler.resolve_dependencies().values()
    models = [handler.signature_model, *(each.signature_model for each in providers)]
    return {field.name: field.type for model in models for field in msgspec.structs.fields(model)}

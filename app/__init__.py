"""Event Platform: a self-hosted backend for events with prizes."""

import sys
from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Let the `litestar` command find `create_app` without every import of `app` loading it.

    `litestar run` itself only starts workers, and gets no more than that takes.
    """
    if name == "create_app":
        if sys.argv[1:2] == ["run"]:
            return import_module("app.ops.launch").create_launcher
        import_module("app.ops.stopping").end_while_loading()
        return import_module("app.asgi").create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

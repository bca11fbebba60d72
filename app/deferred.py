"""Modules that are imported when they are first needed, so that no start waits for them.

For libraries that take a tenth of a second to import and that many servers never use. The type
checker sees a plain import:

    if TYPE_CHECKING:
        import segno
    else:
        segno = deferred("segno")
"""

from importlib import import_module
from typing import Any


class _Deferred:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def deferred(name: str) -> Any:
    """Return a stand-in for a module, which imports it when an attribute is asked for."""
    return _Deferred(name)

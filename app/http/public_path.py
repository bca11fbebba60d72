"""PUBLIC_URL may have a path, such as `/events`, below which clients find all of ours.

A proxy in front takes it off each request, or leaves it. What we answer always has it.
"""

from typing import Any

from app.settings import settings


def take_off_public_path(scope: Any) -> None:
    """Let a request be served that comes with the path. Nothing of ours begins like it."""
    prefix = settings().public_path
    if not prefix:
        return
    path, raw_path = scope.get("path", ""), scope.get("raw_path", b"")
    is_below = f"{path}/".startswith(f"{prefix}/") and raw_path.startswith(prefix.encode())
    if is_below:
        scope["path"] = path.removeprefix(prefix) or "/"
        scope["raw_path"] = raw_path.removeprefix(prefix.encode()) or b"/"


def public(path: str) -> str:
    """Return where clients find what is at a path of ours."""
    return f"{settings().public_path}{path}"

"""Codes to scan, as pictures."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from app.deferred import deferred

if TYPE_CHECKING:
    import segno
else:
    segno = deferred("segno")

# One after the other, so that the server's own thread always gets its turn soon.
_painter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="codes")


def paint(address: str) -> bytes:
    """Paint a code that leads to an address, as SVG; it takes 10 ms."""
    image = io.BytesIO()
    segno.make(address, micro=False).save(image, kind="svg", scale=8, border=2)
    return image.getvalue()


async def painted(address: str, paint: Callable[[str], bytes] = paint) -> bytes:
    """Paint in a thread, in which one is painted after the other."""
    return await asyncio.get_running_loop().run_in_executor(_painter, paint, address)

"""People as Excel keeps them: what a workbook says is read by another process, `xlsx_reader`."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.errors import ValidationFailed

READER = Path(__file__).with_name("xlsx_reader.py")
MOST_SECONDS = 10
"""Until the reader is given up, waiting for a processor included."""

_OLD_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ZIP = b"PK\x03\x04"

_BEYOND_READING = "The file can't be read: it is damaged, or it unpacks to far too much."

_readers = asyncio.Semaphore(2)


class _Answer(msgspec.Struct):
    rows: list[tuple[int, list[str]]] = []
    fault: str | None = None


async def records_of_xlsx(body: bytes) -> Sequence[tuple[int, list[str]]]:
    """Return the rows of a workbook's first sheet with their numbers there; blank ones not.

    Raises:
        ValidationFailed: It is no workbook, or can't be read within the bounds.
    """
    if fault := _fault_of(body):
        raise ValidationFailed.at({"$": fault})
    async with _readers:
        output = await _read(body)
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.DecodeError as error:  # The reader was ended: it wanted too much.
        raise ValidationFailed.at({"$": _BEYOND_READING}) from error
    if answer.fault is not None:
        raise ValidationFailed.at({"$": answer.fault})
    return answer.rows


def _fault_of(body: bytes) -> str | None:
    """Tell what a file is by its first bytes, where it is something else."""
    if body.startswith(_OLD_FILE) and _ENCRYPTED in body:
        return "The file is protected by a password. Save it without one."
    if body.startswith(_OLD_FILE):
        return 'This is an .xls file, of old. Save it as "Excel workbook (.xlsx)".'
    if not body.startswith(_ZIP):
        return "This is no .xlsx file. Text is sent as Content-Type: text/csv."
    return None


async def _read(body: bytes) -> bytes:
    """Let the reader read; what it is asked to read learns nothing of our environment."""
    reader = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(READER),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async with asyncio.timeout(MOST_SECONDS):
            output, _ = await reader.communicate(body)
    except TimeoutError as error:
        raise ValidationFailed.at({"$": _BEYOND_READING}) from error
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    return output

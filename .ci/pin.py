"""Renew the pins: resolve the newest versions and write them into pyproject.toml.

Run from anywhere with `python .ci/pin.py`; needs uv and the package registry. The lock file that
uv makes on the way is not kept: it carries the registry's address.
"""

import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
PINS = re.compile(r"constraint-dependencies = \[\n.*?\n?\]", re.DOTALL)


def main() -> None:
    """Resolve without the present pins and replace them."""
    text = PYPROJECT.read_text()
    bare = PINS.sub("constraint-dependencies = [\n]", text)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "pyproject.toml").write_text(bare)
        (Path(scratch) / "README.md").touch()
        subprocess.run(["uv", "lock", "--quiet"], cwd=scratch, check=True)  # noqa: S607 - found on PATH
        locked = tomllib.loads((Path(scratch) / "uv.lock").read_text())
    pins = "".join(f'    "{pin}",\n' for pin in sorted(map(_pin, _registry_packages(locked))))
    PYPROJECT.write_text(PINS.sub(f"constraint-dependencies = [\n{pins}]", text))


def _registry_packages(locked: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
    return [package for package in locked["package"] if package["name"] != "event-platform"]


def _pin(package: dict[str, object]) -> str:
    """Write one package; where it differs by platform or Python, with the marker."""
    markers = package.get("resolution-markers")
    condition = f" ; {' or '.join(f'({m})' for m in markers)}" if isinstance(markers, list) else ""
    return f"{package['name']}=={package['version']}{condition}".replace('"', "'")


if __name__ == "__main__":
    main()

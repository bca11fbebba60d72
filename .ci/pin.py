"""Renew the pins: the newest versions in pyproject.toml, their files' hashes in the exports here.

`.ci/run` and the container image install from the exports.

Run from anywhere with `python .ci/pin.py`; needs uv and the package registry. The lock file that
uv makes on the way is not kept: it carries the registry's address.
"""

import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

CI = Path(__file__).resolve().parent
PYPROJECT = CI.parent / "pyproject.toml"
PINS = re.compile(r"constraint-dependencies = \[\n.*?\n?\]", re.DOTALL)
ENTRY = re.compile(r"^\S.*\n(?: .+\n)+", re.MULTILINE)
BARE = ("--quiet", "--no-header", "--no-annotate")


def main() -> None:
    """Resolve without the present pins, replace them and the exports."""
    text = PYPROJECT.read_text()
    with tempfile.TemporaryDirectory() as scratch:
        bare = PINS.sub("constraint-dependencies = [\n]", text)
        (Path(scratch) / "pyproject.toml").write_text(bare)
        (Path(scratch) / "README.md").touch()
        _uv("lock", "--quiet", cwd=scratch)
        locked = tomllib.loads((Path(scratch) / "uv.lock").read_text())
        export(Path(scratch))
    pins = "".join(f'    "{pin}",\n' for pin in sorted(map(_pin, _registry_packages(locked))))
    PYPROJECT.write_text(PINS.sub(f"constraint-dependencies = [\n{pins}]", text))


def export(project: Path) -> None:
    """Write what a locked project needs to run, and to be tested; uv; the generator of clients."""
    options = ("--frozen", "--no-emit-project", *BARE)
    service = _uv("export", "--no-dev", *options, cwd=project)
    both = _uv("export", *options, cwd=project)
    tools = set(ENTRY.findall(both)) - set(ENTRY.findall(service))
    (CI / "requirements.txt").write_text(service)
    (CI / "requirements-dev.txt").write_text("".join(sorted(tools)))
    hashed = ("--universal", "--generate-hashes", "-")
    for name, package in (("uv.txt", "uv"), ("clients.txt", "openapi-python-client")):
        pinned = _uv("pip", "compile", *BARE, *hashed, cwd=project, given=package)
        (CI / name).write_text(pinned)


def _uv(*arguments: str, cwd: str | Path, given: str = "") -> str:
    command = ["uv", *arguments]
    return subprocess.run(  # noqa: S603 - our own arguments
        command, cwd=cwd, check=True, text=True, input=given, stdout=subprocess.PIPE
    ).stdout


def _registry_packages(locked: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
    return [package for package in locked["package"] if package["name"] != "event-platform"]


def _pin(package: dict[str, object]) -> str:
    """Write one package; where it differs by platform or Python, with the marker."""
    markers = package.get("resolution-markers")
    condition = f" ; {' or '.join(f'({m})' for m in markers)}" if isinstance(markers, list) else ""
    return f"{package['name']}=={package['version']}{condition}".replace('"', "'")


if __name__ == "__main__":
    main()

"""Data flows one way: who may import whom, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED_AT_TOP = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "app",
    "piccolo_conf.py",
    "piccolo_migrations",
    "pyproject.toml",
    "tasks",
    "tests",
    "uv.lock",
}
# A package may import those before it; those on one level don't know each other.
LEVELS = [
    {"http"},
    {"auth"},
    {"applications"},
    {"participants"},
    {"rooms"},
    {"users", "prizes", "guests"},
    {"winners"},
    {"draws", "rounds"},
    {"claims"},
    {"mails"},
    {"events", "invitations", "sign_in"},
    {"sockets", "webhooks"},
    {"web"},
]
PURE = {
    "app.auth.tokens",
    "app.applications.compatibility",
    "app.applications.documents",
    "app.applications.hidden_settings",
    "app.applications.json_schema",
    "app.applications.manifest",
    "app.applications.schema_comparison",
    "app.applications.schema_demands",
    "app.applications.schema_nodes",
    "app.applications.schema_rules",
    "app.applications.settings_schema",
    "app.draws.drand",
    "app.draws.ranking",
    "app.draws.record",
    "app.email_addresses",
    "app.participants.roles",
    "app.prizes.claims",
    "app.rooms.lifecycle",
    "app.rounds.questions",
    "app.visible_text",
    "app.webhooks.addresses",
    "app.webhooks.retrying",
    "app.webhooks.signing",
}
STEPS = {
    "app.draws.announcing",
    "app.draws.awarding",
    "app.draws.cancelling",
    "app.draws.closing",
    "app.draws.drawing",
    "app.draws.due",
    "app.draws.reading",
    "app.draws.steps",
    "app.draws.tickets",
    "app.rounds.answering",
    "app.rounds.quizzes",
}
"""They stand in a service's place."""
ENUMS = {"ClaimStatus", "DeliveryStatus", "DrawStatus", "ParticipantRole", "RoomStatus"}


def modules() -> Iterator[tuple[str, Path]]:
    for folder in ("app", "tasks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each imported module with the name taken from it ("" for all of it)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((str(node.module), alias.name) for alias in node.names)


ALL = [pytest.param(name, path, id=name) for name, path in modules()]


def named(suffix: str) -> list[object]:
    return [pytest.param(name, path, id=name) for name, path in modules() if name.endswith(suffix)]


def level_of(module: str) -> int | None:
    parts = module.split(".")
    package = parts[1] if parts[0] == "app" and len(parts) > 1 else ""
    return next((level for level, names in enumerate(LEVELS) if package in names), None)


@pytest.mark.parametrize(("name", "path"), ALL)
def test_domain_packages_import_leftwards_only(name: str, path: Path) -> None:
    own = level_of(name)
    if own is None:
        return
    package = name.split(".")[1]
    for module, _ in imports_of(path):
        other = level_of(module)
        if other is None or module in PURE or module.split(".")[1] == package:
            continue
        assert other < own, f"{name} imports {module}"


SERVICES = [*named(".service"), *(each for each in ALL if each.id in STEPS)]


@pytest.mark.parametrize(("name", "path"), SERVICES)
def test_services_know_nothing_of_http(name: str, path: Path) -> None:
    for module, _ in imports_of(path):
        assert module.split(".")[0] != "litestar", name
        assert not module.startswith("app.http"), name
        assert module.rsplit(".", 1)[-1] not in {"controller", "schemas", "guards"}, name


@pytest.mark.parametrize(("name", "path"), named(".controller"))
def test_controllers_touch_neither_tables_nor_each_other(name: str, path: Path) -> None:
    for module, taken in imports_of(path):
        assert not module.endswith(".controller"), f"{name} imports {module}"
        assert not module.startswith("piccolo"), name
        if module == "app.tables":
            assert taken in ENUMS, f"{name} takes {taken}"


@pytest.mark.parametrize(("name", "path"), [each for each in ALL if each.id in PURE])
def test_pure_modules_stand_on_errors_alone(name: str, path: Path) -> None:
    for module, taken in imports_of(path):
        if module.split(".")[0] not in {"app", "tasks"}:
            assert module.split(".")[0] not in {"litestar", "piccolo", "asyncpg"}, name
            continue
        is_enum = module == "app.tables" and taken in ENUMS
        assert is_enum or module == "app.errors" or module in PURE, f"{name} imports {module}"


def test_the_ground_stands_alone() -> None:
    for module in ("app.errors", "app.settings", "app.metrics", "app.deferred"):
        path = ROOT / f"{module.replace('.', '/')}.py"
        found = {name for name, _ in imports_of(path) if name.startswith(("app", "tasks"))}
        assert found <= {"app.deferred"}, module


@pytest.mark.parametrize(("name", "path"), ALL)
def test_only_the_wiring_imports_the_wiring(name: str, path: Path) -> None:
    if name == "app.asgi":
        return
    assert not [module for module, _ in imports_of(path) if module == "app.asgi"]


@pytest.mark.parametrize(("name", "path"), ALL)
def test_no_import_hides_in_a_function(name: str, path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    hidden = [
        node
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not hidden, name


def test_every_folder_holds_something_and_the_top_level_is_fixed() -> None:
    top = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert top - {"__pycache__"} <= ALLOWED_AT_TOP
    for folder in ("app", "tasks"):
        for package in (ROOT / folder).rglob("__init__.py"):
            assert len([p for p in package.parent.iterdir() if p.name != "__pycache__"]) > 1, (
                package
            )

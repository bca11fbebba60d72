"""Run schemathesis several times in one process: it takes seconds to be imported.

Reads `{"title": …, "arguments": […]}` for each run from standard input, line by line; ends with
the title of each run that found something.
"""

import sys

import msgspec
import requests
from schemathesis.cli import schemathesis


class Run(msgspec.Struct):
    """A run: what it is called, and the arguments of `schemathesis`."""

    title: str
    arguments: list[str]


def status_of(run: Run) -> int:
    """Run it, and return its exit status."""
    try:
        schemathesis.main(run.arguments, standalone_mode=False)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main() -> None:
    """Run all of them."""
    # Where a redirect leads is not described here.
    requests.Session.get_redirect_target = lambda *_: None  # type: ignore[method-assign]
    failed = []
    for line in sys.stdin:
        run = msgspec.json.decode(line, type=Run)
        print(f"##### {run.title}", flush=True)  # noqa: T201 - for the test that reads it
        if status_of(run):
            failed.append(run.title)
    sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()

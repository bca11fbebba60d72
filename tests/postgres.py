"""A PostgreSQL of one test, restarted in its middle."""

import signal

import psutil

from app.database.embedded.server import EmbeddedServer


def restart(server: EmbeddedServer) -> None:
    """Stop it as an administrator does, cutting all connections, and start it again."""
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
    postmaster.send_signal(signal.SIGINT)
    postmaster.wait(30)
    server.join()

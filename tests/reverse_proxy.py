"""A reverse proxy on loopback that gives us a path of its host, and other applications the rest.

It hands an answer on when it has all of it, so that streams never begin.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


@contextmanager
def proxying(port: int, upstream_port: int, path: str, *, strips: bool) -> Iterator[None]:
    """Serve an upstream server below a path.

    Args:
        port: Where the proxy listens.
        upstream_port: Where the upstream server listens.
        path: What requests for it begin with, as `/events`.
        strips: Whether the proxy takes the path off.
    """

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not f"{self.path}/".startswith(f"{path}/"):
                self.send_error(404, "Another application")
                return
            upstream = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=60)
            # Of a stream either side may go.
            with closing(upstream), suppress(ConnectionError, http.client.HTTPException):
                self.exchange(upstream)

        def exchange(self, upstream: http.client.HTTPConnection) -> None:
            target = self.path.removeprefix(path) or "/"
            length = int(self.headers.get("Content-Length", 0))
            headers = {name: value for name, value in self.headers.items() if is_handed_on(name)}
            body = self.rfile.read(length)
            upstream.request(self.command, target if strips else self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if is_handed_on(name) and name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = forward

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_handed_on(header: str) -> bool:
    return header.lower() not in HOP_BY_HOP

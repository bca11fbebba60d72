"""An OpenID Connect provider on loopback that says whatever a test wants it to say."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

KEY = RSAKey.generate_key(2048, {"kid": "one"})
CLIENT_ID, CLIENT_SECRET = "our-client", "a secret of the provider's client"


class Escaped(json.JSONEncoder):
    """Writes what is not ASCII by its number, which may be half a character."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": True})


class TestProvider:
    """It behaves well until a test changes one of its attributes."""

    __test__ = False

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key: RSAKey | ECKey | OctKey = KEY
        self.published = [self.key.as_dict(private=False)]
        self.algorithm = "RS256"
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.status = 200
        self.delay_seconds: dict[str, float] = {}
        self.raw: dict[str, bytes] = {}
        self.content_types: dict[str, str] = {}
        self.asked: list[str] = []
        self.token_requests: list[dict[str, str]] = []

    def identify(self, asked_nonce: str, /, **claims: Any) -> None:
        """Prepare a good ID token, with changes; a claim of None is left out."""
        now = int(time.time())
        good = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked_nonce,
            "email": "Erin@Example.com",
            "email_verified": True,
            "name": "Erin",
            "picture": "https://pictures.example/erin.png",
        }
        self.claims = {k: v for k, v in {**good, **claims}.items() if v is not None}

    def document(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
                **self.metadata,
            }
        if path == "/keys":
            return {"keys": self.published}
        if path == "/userinfo":
            return self.userinfo
        return self.token_answer()

    def token_answer(self) -> dict[str, Any]:
        header = {"alg": self.algorithm, "kid": self.key.kid}
        id_token = jwt.encode(
            header, self.claims, self.key, algorithms=[self.algorithm], encoder_cls=Escaped
        )
        good = {"access_token": "granted", "token_type": "Bearer", "id_token": id_token}
        return {k: v for k, v in {**good, **self.answer}.items() if v is not None}

    def form(self, query: str) -> str:
        """Make the page that has a browser post the answer, at once."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        self.identify(asked["nonce"], name=None)
        person = {"name": {"firstName": "Erin", "lastName": "Example"}}
        members = {"state": asked["state"], "code": "a-code", "user": json.dumps(person)}
        fields = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">'
            for name, value in members.items()
        )
        action = escape(asked["redirect_uri"])
        form = f'<form method="post" action="{action}">{fields}</form>'
        return f"<!doctype html>{form}<script>document.forms[0].submit()</script>"


def half_hash(access_token: str) -> str:
    """at_hash for RS256 (OpenID Connect Core 3.1.3.6)."""
    digest = hashlib.sha256(access_token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Running:
    """A provider that runs; each test has one of its own at the same address."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.provider = TestProvider(issuer)

    def renew(self) -> TestProvider:
        self.provider = TestProvider(self.issuer)
        return self.provider


@contextmanager
def providing() -> Iterator[Running]:
    """Run a provider in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            authorization = self.headers["Authorization"] or ""
            running.provider.token_requests.append(form | {"auth": authorization})
            self.reply()

        def reply(self) -> None:
            provider = running.provider
            provider.asked.append(self.path)
            if self.path.startswith("/authorize?"):
                self.write(provider.form(urlsplit(self.path).query).encode(), "text/html")
                return
            time.sleep(provider.delay_seconds.get(self.path, 0))
            body = provider.raw.get(self.path) or json.dumps(provider.document(self.path)).encode()
            content_type = provider.content_types.get(self.path, "application/json")
            self.write(body, content_type, provider.status if self.path == "/token" else 200)

        def write(self, body: bytes, content_type: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked may have given up
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Running(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

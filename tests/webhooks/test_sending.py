"""Where requests go, and what strangers' servers can do to us: nothing."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.webhooks import sending
from app.webhooks.addresses import fault_of_url, is_allowed
from app.webhooks.sending import LARGEST_ANSWER_BYTES, Outcome, Post
from tests.factories import now
from tests.webhooks.endpoint import Endpoint, answer, listening

NOT_OF_THE_INTERNET = "Leads to an address that is not of the internet."
THIS_NETWORK = "0.0.0.0"  # noqa: S104 - nobody listens there
REFUSED = (
    *(
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        THIS_NETWORK,
        "::",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%1",
    ),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "224.0.0.1", "ff02::1"),
    *("255.255.255.255", "240.0.0.1", "192.0.2.1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1"),
)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    post = Post(allows_local=True)
    yield post
    await post.close()


async def send(post: Post, url: str) -> Outcome:
    return await post.send(url, [("webhook-id", "1")], b"{}", now())


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_of_the_internet_are_refused(address: str) -> None:
    assert not is_allowed(address, allows_loopback=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_those_of_the_internet_are_not(address: str) -> None:
    assert is_allowed(address, allows_loopback=False)


def test_in_development_this_machine_is_allowed_and_the_network_is_not() -> None:
    allowed = [each for each in REFUSED if is_allowed(each, allows_loopback=True)]
    assert allowed == [
        *("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")
    ]


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org/", "ftp://example.org/", "example.org", "https://", "//example.org"),
        *("https://a:b@example.org/", "https://example.org/#there", "https://example.org:x/"),
        *("https://exämple.org/", "https://example.org/a b", "https://example.org/\n"),
        *("https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1:8443/", "https://[fe80::1]/"),
        *("https://[::ffff:169.254.169.254]/", "https://[::1/"),
    ],
)
def test_an_address_that_leads_elsewhere_is_refused_when_it_is_given(url: str) -> None:
    assert fault_of_url(url, allows_local=False)


def test_https_addresses_are_taken_and_in_development_http_here() -> None:
    assert fault_of_url("https://example.org:8443/hooks?a=1", allows_local=False) is None
    assert fault_of_url("http://127.0.0.1:9000/", allows_local=True) is None
    assert fault_of_url("http://10.0.0.1:9000/", allows_local=True)


async def test_production_connects_to_no_address_of_this_machine(endpoint: Endpoint) -> None:
    post = Post(allows_local=False)
    # Names and spellings that the system resolves by itself.
    for host in ("127.0.0.1", "localhost", THIS_NETWORK, "127.1", "2130706433", "0x7f.1", "[::1]"):
        outcome = await send(post, f"http://{host}:{endpoint.port}/")
        assert outcome == Outcome(is_delivered=False, reason=NOT_OF_THE_INTERNET), host
    await post.close()
    assert endpoint.connections == 0


def resolving(*answers: Sequence[str]) -> Any:
    """Make what looks names up: these addresses the first time, those the second, and so on."""
    left = list(answers)

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "hooks.example.org"
        found = left.pop(0)
        return [(0, 0, 0, "", (address, port)) for address in found]

    return look_up


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("::ffff:127.0.0.1",)]
)
async def test_a_name_that_leads_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: Sequence[str]
) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolving(addresses))
    post = Post(allows_local=False)
    outcome = await send(post, "http://hooks.example.org/")
    await post.close()
    assert outcome.reason == NOT_OF_THE_INTERNET


async def test_a_name_that_leads_inside_the_second_time_is_asked_once_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected: list[str] = []

    class Network:
        async def connect_tcp(self, host: str, *_: Any, **__: Any) -> Any:
            connected.append(host)
            raise OSError("nobody is there")

    monkeypatch.setattr(httpcore, "AnyIOBackend", Network)
    monkeypatch.setattr(
        asyncio.get_running_loop(), "getaddrinfo", resolving(["8.8.8.8"], ["127.0.0.1"])
    )
    post = Post(allows_local=False)
    assert (await send(post, "http://hooks.example.org/")).reason == "nobody is there"
    assert (await send(post, "http://hooks.example.org/")).reason == NOT_OF_THE_INTERNET
    await post.close()
    assert connected == ["8.8.8.8"]


async def test_the_certificate_has_to_be_the_names_and_the_host_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        asyncio.get_running_loop(), "getaddrinfo", resolving(*([["127.0.0.1"]] * 2))
    )
    endpoint = Endpoint()
    for name, delivers in (("hooks.example.org", True), ("other.example.org", False)):
        certificate = certified(name, tmp_path)
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.load_cert_chain(certificate)
        names: list[str | None] = []
        ours.sni_callback = lambda _, name, __, names=names: names.append(name)
        server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=ours)
        port = server.sockets[0].getsockname()[1]
        post = Post(allows_local=True, trust=ssl.create_default_context(cafile=str(certificate)))
        outcome = await send(post, f"https://hooks.example.org:{port}/")
        await post.close()
        server.close()
        assert outcome.is_delivered is delivers, outcome
        assert names == ["hooks.example.org"]
    assert [each.headers["host"] for each in endpoint.got] == [
        f"hooks.example.org:{endpoint.got[0].headers['host'].rpartition(':')[2]}"
    ]


def certified(name: str, folder: Path) -> Path:
    """Write a certificate of a name, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return path


async def test_redirects_are_not_followed(post: Post, endpoint: Endpoint) -> None:
    async with listening() as elsewhere:
        endpoint.answer = answer(307, f"Location: {elsewhere.url}")
        outcome = await send(post, endpoint.url)
        assert outcome == Outcome(is_delivered=False, status=307, reason="Answered 307.")
        assert elsewhere.connections == 0


async def test_of_an_answer_that_never_ends_little_is_read(post: Post, endpoint: Endpoint) -> None:
    written = 0

    async def go_on(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
        while True:
            writer.write(b"x" * 1_000)
            written += 1_000
            await writer.drain()

    endpoint.answer = go_on
    async with asyncio.timeout(5):
        outcome = await send(post, endpoint.url)
    assert outcome.is_delivered
    # What the system keeps on the way is written, too, and nothing beyond it.
    assert written < LARGEST_ANSWER_BYTES + 20_000_000


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: yes\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def say_nothing(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(10)


@pytest.mark.parametrize("slow", [drip_headers, drip_body, say_nothing])
async def test_who_answers_slowly_is_left(
    post: Post, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, slow: Any
) -> None:
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 0.2)
    endpoint.answer = slow
    async with asyncio.timeout(5):
        outcome = await send(post, endpoint.url)
    assert (outcome.is_delivered, outcome.status) == (False, None)
    assert str(outcome.reason).startswith("No whole answer within")


async def test_endless_headers_end(post: Post, endpoint: Endpoint) -> None:
    async def go_on(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"x" * 10_000 + b"\r\n")
            await writer.drain()

    endpoint.answer = go_on
    async with asyncio.timeout(5):
        assert not (await send(post, endpoint.url)).is_delivered


@pytest.mark.parametrize("said", [b"\0\1\2 nonsense\r\n\r\n", b"HTTP/1.1 999999 No\r\n\r\n"])
async def test_what_is_not_http_fails(post: Post, endpoint: Endpoint, said: bytes) -> None:
    endpoint.answer = said
    assert not (await send(post, endpoint.url)).is_delivered


async def test_where_nobody_listens_nothing_is_delivered(post: Post) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    outcome = await send(post, f"http://127.0.0.1:{port}/")
    assert (outcome.is_delivered, bool(outcome.reason)) == (False, True)

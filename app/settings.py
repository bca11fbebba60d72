"""Settings: the environment (and `.env`), read once into a frozen struct."""

import functools
import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import msgspec
from dotenv import dotenv_values

from app.deferred import deferred

if TYPE_CHECKING:
    import zxcvbn
else:
    zxcvbn = deferred("zxcvbn")

_SOURCES = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (_SOURCES / "pyproject.toml").exists()
"""Whether this is a checkout; else it was installed as a package."""
PROJECT_ROOT = _SOURCES if IS_CHECKOUT else Path.cwd()
"""Where `.env` and `.data` are: the checkout, or the folder in which an installed service runs."""
COMMAND = "litestar" if IS_CHECKOUT else "event-platform"
"""What the command line is called, for messages that say what to do."""
DATA_DIRECTORY = PROJECT_ROOT / ".data"
"""What a development server keeps: its embedded PostgreSQL. Safe to delete."""

DEVELOPMENT_SECRET = "development-only-secret-change-me-in-production"  # noqa: S105 - public
MAKE_ONE = "make one with `openssl rand -base64 48`"
EXAMPLE_SECRETS = frozenset({DEVELOPMENT_SECRET, "your-secret-key-here", "change-me"})
SHORTEST_SECRET_BYTES = 32
LEAST_GUESSES_LOG10 = 0.87
"""For each character of a secret, by zxcvbn's estimate: random hex and base64 reach 0.9 to 1, words
and what repeats itself do not."""
LONGEST_ESTIMATED = 72
"""Characters; the estimate takes the square of them."""
ADMIN_OFF = "off"
DEFAULT_ADMIN_PATH = "/admin"
DEFAULT_PUBLIC_URL = "http://127.0.0.1:8000"
OWN_PATHS = frozenset(
    {
        *("api", "auth", "dev", "health", "join", "login", "mails", "metrics", "rooms", "schema"),
        *("sign-in", "socket.io", "verify", "web"),
    }
)
"""What the paths of the service begin with, besides ADMIN_PATH."""
ADMIN_PATH_FORM = re.compile(r"(/[\w.-]+)+|off", re.ASCII)
PUBLIC_URL_FORM = re.compile(r"https?://[^/?#@\s]+((/(?!\.\.?(/|$))[\w.~-]+)*)", re.ASCII)
PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TAKEN_NAMES = frozenset(
    {
        *("demo", "email", "guest", "guests", "login", "logout", "me", "refresh"),
        *("revocations", "sessions", "ways"),
    }
)
"""Of the endpoints beside those of the providers, of the demo people, and of who came by mail."""
TENANT = "{tenantid}"
LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MAIL_PORTS = {"smtp": 587, "smtps": 465}

# Options of a Prisma URL that are not PostgreSQL's; asyncpg would send them to the server.
PRISMA_URL_OPTIONS = frozenset(
    {"connection_limit", "connect_timeout", "pgbouncer", "pool_timeout", "schema", "socket_timeout"}
)


class SettingsError(SystemExit):
    """The environment holds something that we can't start with; the message names all of it.

    Settings are read while a process starts: it ends with that line and the status 1.
    """


class Environment(StrEnum):
    """How strict the service is about its own configuration."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class SecondFactor(StrEnum):
    """Whether administrators sign in with a code from an authenticator app, too."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class ResponseMode(StrEnum):
    """How a browser brings a provider's answer back: in the address, or in a form that it posts."""

    QUERY = "query"
    FORM_POST = "form_post"


class Language(StrEnum):
    """What people are written to in."""

    EN = "en"
    RU = "ru"


class MailTls(StrEnum):
    """How a connection to a mail server is kept from those on the way."""

    AT_ONCE = "smtps"
    STARTTLS = "starttls"
    NONE = "none"


class MailServer(msgspec.Struct, frozen=True):
    """What MAIL_URL says."""

    host: str
    port: int
    tls: MailTls
    user: str | None = None
    password: str | None = None


RateLimit = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]
"""`100/minute`: so many in any minute."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Grace = Annotated[float, msgspec.Meta(ge=0, le=60)]
WebAddress = Annotated[str, msgspec.Meta(pattern="^https?://.")]
_PLAIN_ADDRESS = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-zA-Z0-9.-]{1,253}"
MailFrom = Annotated[
    str,
    msgspec.Meta(
        pattern=r"(?a)^([^<>()\[\]\\,;:@\"\x00-\x1f\x7f]+ "
        rf"<{_PLAIN_ADDRESS}>|{_PLAIN_ADDRESS})\Z"
    ),
]
TenantId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class OidcProvider(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An OpenID Connect provider that people may sign in with."""

    issuer: WebAddress
    """Exactly as its discovery document says; without a trailing slash if it has none there.
    `{tenantid}` stands for each of `tenants`."""
    client_id: str
    client_secret: str
    scope: Annotated[str, msgspec.Meta(pattern=r"(^| )openid( |$)")] = "openid email profile"
    """What is asked for."""
    response_mode: ResponseMode = ResponseMode.QUERY
    trusts_email: bool = False
    """Whether an address counts as verified if the provider says nothing of that."""
    tenants: tuple[TenantId, ...] = ()
    """Whose people may sign in, of an issuer that many organizations share."""

    def __post_init__(self) -> None:
        """Refuse an issuer of nobody, and tenants of nothing."""
        if (TENANT in self.issuer) != bool(self.tenants):
            raise ValueError(f"tenants and an issuer with {TENANT} need each other")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be configured. Each field is the environment variable of its name."""

    ENVIRONMENT: Environment = Environment.DEVELOPMENT
    """`development` or `production`, which refuses insecure settings and pending migrations."""

    DATABASE_URL: str | None = None
    """PostgreSQL 14 or newer, `postgresql://user:password@host:5432/name`. Unset in development: an
    embedded PostgreSQL under `.data/`."""

    DATABASE_POOL_SIZE: Annotated[int, msgspec.Meta(ge=1)] = 10
    """Connections that each worker keeps to PostgreSQL, at most."""

    DATABASE_DIRECT_URL: str | None = None
    """The same database past PgBouncer, if DATABASE_URL leads to one (transaction mode): for
    listening, migrations and maintenance, which need a session."""

    STATEMENT_SECONDS: Seconds = 10.0
    """Longest time that PostgreSQL may take for a statement of a request."""

    LOCK_SECONDS: Seconds = 5.0
    """Longest time that a statement of a request waits for a row that others change."""

    REQUEST_SECONDS: Seconds = 20.0
    """Longest time for a request; then it is answered with 503."""

    IDLE_SECONDS: Seconds = 75.0
    """Longest time for which a connection may be silent, before a request or between two; more than
    REQUEST_SECONDS, and more than a proxy in front keeps its own."""

    JWT_SECRET: tuple[str, ...] = (DEVELOPMENT_SECRET,)
    """Secrets of the access tokens, separated by commas: the first signs, all verify. At least 32
    bytes each in production."""

    REFRESH_GRACE_SECONDS: Grace = 10.0
    """How long a refresh token that was just replaced buys its successor again, for answers that
    were lost and for several tabs; 0: never, at most 60."""

    PUBLIC_URL: WebAddress = DEFAULT_PUBLIC_URL
    """Where clients reach this service; the issuer of its tokens. Production wants https. It
    may have a path."""

    ALLOW_HTTP: bool = False
    """Whether production may have a PUBLIC_URL without https, over which anybody on the way reads
    tokens and passwords: for a network of one's own."""

    FRONTEND_URL: WebAddress | None = None
    """Another web front-end that people come back to after signing in at a provider. Unset: our own
    page, at PUBLIC_URL."""

    GOOGLE_CLIENT_ID: str | None = None
    """OAuth client at Google. Sign-in with Google answers 503 as long as it is unset."""

    GOOGLE_CLIENT_SECRET: str | None = None
    """Its secret."""

    OIDC_PROVIDERS: dict[str, OidcProvider] = {}
    """Further OpenID Connect providers as JSON, `{"keycloak": {"issuer": "https://…", "clientId":
    "…", "clientSecret": "…"}}`; people sign in at `/api/v1/auth/keycloak`."""

    REDIS_URL: Annotated[str, msgspec.Meta(pattern="^(rediss?|unix)://.")] | None = None
    """Redis that servers share for rate limits and revoked tokens, `redis://host:6379/0`. Unset:
    each server counts for itself; revocation reaches all of them through PostgreSQL anyway."""

    TRUSTED_PROXIES: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Proxies of ours in front of the service: X-Forwarded-For is believed that far and no
    further."""

    RATE_LIMITS: bool | None = None
    """Whether requests are limited. On in production, off in development."""

    RATE_LIMIT_PEOPLE: RateLimit = "100/minute"
    """Requests of one signed-in person."""

    RATE_LIMIT_APPS: RateLimit = "1000/minute"
    """Requests of one app that identifies itself with its secret."""

    RATE_LIMIT_ANONYMOUS: RateLimit = "20/minute"
    """Requests of one address without a token, of unknown addresses too."""

    RATE_LIMIT_PREFLIGHTS: RateLimit = "600/minute"
    """What browsers at one address ask about before they send requests to another origin."""

    RATE_LIMIT_SIGN_IN: RateLimit = "10/minute"
    """Sign-ins, for each address and for each account; guesses at an app's secret likewise."""

    RATE_LIMIT_REFRESH: RateLimit = "30/minute"
    """Refreshes, for each address and for each account."""

    RATE_LIMIT_OAUTH: RateLimit = "20/minute"
    """Sign-ins with a provider, for each address and for each account."""

    RATE_LIMIT_CODES: RateLimit = "30/hour"
    """Sign-in codes that one address asks for; each is a mail."""

    RATE_LIMIT_GUESTS: RateLimit = "60/minute"
    """Guests who come into rooms from one address, where rooms admit guests."""

    RATE_LIMIT_ADDRESSES: RateLimit = "20000/minute"
    """People whom one person brings into rooms by their e-mail addresses."""

    RATE_LIMIT_INVITATIONS: RateLimit = "10/minute"
    """Codes of rooms that one account tries, and wrong ones of one address."""

    EVENT_DAYS: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30
    """How long events are kept for who comes back after a pause."""

    EVENT_STREAMS_PER_PERSON: Annotated[int, msgspec.Meta(ge=1)] = 20
    """Streams of events and sockets that one person may have open at once, on each worker."""

    EVENT_STREAMS_PER_ADDRESS: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """Streams of events and sockets that one address may have open at once, on each worker: a whole
    audience may share one."""

    CORS_ORIGINS: tuple[WebAddress, ...] = ()
    """Origins of web front-ends, separated by commas. In development any port of localhost may."""

    DEMO_PASSWORD: str | None = None
    """Password of the seeded demo people. `password123` in development; production refuses it."""

    METRICS_TOKEN: str | None = None
    """What Prometheus sends as `Authorization: Bearer …` to `/metrics`. Unset: in development
    everybody may look, in production nobody."""

    MAIL_URL: str | None = None
    """A mail server that takes mails, `smtp://user:password@host:587` with STARTTLS, or
    `smtps://…:465`; `?tls=none` for one in a network of one's own. Unset: nothing is sent, and in
    development mails are shown at `/dev/mails`."""

    MAIL_FROM: MailFrom | None = None
    """Whom mails come from, `prizes@example.org` or `Prizes <prizes@example.org>`."""

    MAIL_LANGUAGE: Language = Language.EN
    """What mails are written in: `en` or `ru`."""

    MAIL_DAYS: Annotated[int, msgspec.Meta(ge=3, le=3650)] = 30
    """How long is kept what became of a mail."""

    MAIL_LIMIT_ORGANIZER: RateLimit = "2000/day"
    """Mails that go out of all rooms of one organizer. What is more waits, three days at most."""

    MAIL_LIMIT_ADDRESS: RateLimit = "20/day"
    """Mails that one address gets from all rooms. What is more waits, three days at most."""

    IDEMPOTENCY_HOURS: Annotated[int, msgspec.Meta(ge=1, le=168)] = 24
    """How long the answer to a POST with an Idempotency-Key is kept for who asks again."""

    AUDIT_DAYS: Annotated[int, msgspec.Meta(ge=30, le=3650)] = 365
    """How long the audit log keeps what was before and after a change; draws' records for good."""

    ERASURE_DAYS: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30
    """How long after a deletion an account is erased; until then, who deleted it themselves has it
    back by signing in."""

    OTEL_EXPORTER_OTLP_ENDPOINT: WebAddress | None = None
    """An OpenTelemetry collector that takes traces over HTTP, `http://127.0.0.1:4318`. Unset:
    nothing is traced."""

    SCHEDULES: str = ""
    """Other times for maintenance jobs (UTC): `cleanup-tokens: 30 1 * * *; vacuum-analyze: never`.
    `litestar tasks list` shows all of them."""

    DRAND_URL: WebAddress | None = None
    """A relay of the drand network, such as `https://api.drand.sh`. The server asks it for the
    rounds that draws wait for, and draws. Unset: whoever draws sends the round's signature."""

    ADMIN_PATH: str = DEFAULT_ADMIN_PATH
    """Where the administrators' page is, under PUBLIC_URL; `off`: nowhere."""

    ADMIN_MFA: SecondFactor = SecondFactor.OFF
    """Codes from an authenticator app at the administrators' sign-in: `off`, `optional` (for who
    sets it up), `required` (nobody does anything else before)."""

    ADMIN_MFA_KEY: tuple[str, ...] = (DEVELOPMENT_SECRET,)
    """Secrets that the authenticators and the secrets of webhooks are encrypted with, separated by
    commas: the first encrypts, all decrypt. At least 32 bytes each in production."""

    @property
    def in_production(self) -> bool:
        """Whether this is the production environment."""
        return self.ENVIRONMENT is Environment.PRODUCTION

    @property
    def encrypts(self) -> bool:
        """Whether ADMIN_MFA_KEY is one of this server's own, which keeps secrets."""
        return not (self.in_production and EXAMPLE_SECRETS.intersection(self.ADMIN_MFA_KEY))

    @property
    def limits_rates(self) -> bool:
        """Whether requests are limited."""
        return self.in_production if self.RATE_LIMITS is None else self.RATE_LIMITS

    @property
    def public_path(self) -> str:
        """The path of PUBLIC_URL, before all of ours: `/events`, or nothing."""
        return urlsplit(self.PUBLIC_URL).path

    @property
    def links_url(self) -> str:
        """Where links lead: PUBLIC_URL, or if that is not set the port that this server has."""
        port = os.environ.get("LITESTAR_PORT")
        is_set = self.PUBLIC_URL != DEFAULT_PUBLIC_URL
        return self.PUBLIC_URL if is_set or port is None else f"http://127.0.0.1:{port}"

    @property
    def follows_host(self) -> bool:
        """Whether we are wherever a request came to: in development, unless PUBLIC_URL says it."""
        return not self.in_production and self.PUBLIC_URL == DEFAULT_PUBLIC_URL

    @property
    def front_end_url(self) -> str:
        """Where people come back to after signing in: FRONTEND_URL, or else our own page."""
        return self.FRONTEND_URL or self.links_url

    @property
    def join_url(self) -> str:
        """Our own page on which one signs in and joins a room."""
        return f"{self.links_url}/join"

    @property
    def admin_path(self) -> str:
        """Where browsers find the administrators' page."""
        return f"{self.public_path}{self.ADMIN_PATH}"

    @property
    def mail_server(self) -> MailServer | None:
        """Where mails are sent, if they are."""
        return None if self.MAIL_URL is None else mail_server(self.MAIL_URL)

    @property
    def serves_https(self) -> bool:
        """Whether browsers come by HTTPS."""
        return self.PUBLIC_URL.startswith("https://")

    @property
    def demo_password(self) -> str:
        """What the demo people sign in with, in development."""
        return self.DEMO_PASSWORD or "password123"


def load(environ: Mapping[str, str]) -> Settings:
    """Read settings from environment variables.

    Args:
        environ: Names to values; an empty value counts as unset.

    Raises:
        SettingsError: A value has the wrong form, or production would be insecure.
    """
    given: dict[str, Any] = {
        name: _READERS.get(name, str)(environ[name])
        for name in Settings.__struct_fields__
        if environ.get(name)
    }
    try:
        loaded = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"The environment is not valid: {error}") from error
    _require_sound_paths(loaded)
    _require_sound_providers(loaded)
    _require_sound_mail(loaded)
    if loaded.IDLE_SECONDS <= loaded.REQUEST_SECONDS:
        raise SettingsError("IDLE_SECONDS has to be more than REQUEST_SECONDS.")
    if loaded.in_production:
        _refuse_insecure(loaded, given)
    return loaded


def postgresql_url(url: str) -> str:
    """Return a PostgreSQL URL without the options that only Prisma knows.

    Raises:
        SettingsError: It is not a PostgreSQL URL, or names a schema other than `public`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise SettingsError("DATABASE_URL must start with postgresql://")
    try:
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"DATABASE_URL: {error}.") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.get("schema", "public") != "public":
        raise SettingsError(
            "DATABASE_URL: only the schema `public` is supported. Leave `schema` out:"
            f" `{COMMAND} database adopt-prisma` moves the tables there."
        )
    kept = {name: value for name, value in options.items() if name not in PRISMA_URL_OPTIONS}
    return urlunsplit(parts._replace(query=urlencode(kept)))


def mail_server(url: str) -> MailServer:
    """Read MAIL_URL.

    Raises:
        SettingsError: It is no address of a mail server, or sends a password for all to read.
    """
    try:
        parts = urlsplit(url)
        port, options = parts.port, parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise SettingsError(f"MAIL_URL can't be read: {error}.") from error
    form = "MAIL_URL has the form smtp://user:password@host:587 or smtps://user:password@host:465"
    if parts.scheme not in MAIL_PORTS or not parts.hostname or port == 0:
        raise SettingsError(f"{form}.")
    if parts.path.strip("/") or parts.fragment or (parts.username and not parts.password):
        raise SettingsError(f"{form}; special characters are written as %2F, %23, %3F, %40.")
    tls = _mail_tls(parts.scheme, parts.hostname, options)
    is_near = parts.hostname in LOCAL_HOSTS
    if tls is MailTls.NONE and parts.username and not is_near:
        raise SettingsError("MAIL_URL: with tls=none the password could be read on the way.")
    return MailServer(
        host=parts.hostname,
        port=port or MAIL_PORTS[parts.scheme],
        tls=tls,
        user=parts.username and unquote(parts.username),
        password=parts.password and unquote(parts.password),
    )


def _mail_tls(scheme: str, host: str, options: list[tuple[str, str]]) -> MailTls:
    if scheme == MailTls.AT_ONCE:
        if options:
            raise SettingsError("MAIL_URL: smtps:// takes no options.")
        return MailTls.AT_ONCE
    if not options:
        return MailTls.NONE if host in LOCAL_HOSTS else MailTls.STARTTLS
    if options not in ([("tls", "none")], [("tls", "starttls")]):
        raise SettingsError("MAIL_URL: the only option is tls, which is starttls or none.")
    return MailTls(options[0][1])


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _switch(text: str) -> str:
    return {"on": "true", "off": "false"}.get(text.lower(), text)


def _base_url(text: str) -> str:
    return text.rstrip("/")


def _providers(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SettingsError(f"OIDC_PROVIDERS is not JSON: {error}") from error


_READERS: Mapping[str, Callable[[str], Any]] = {
    "ADMIN_MFA_KEY": _list,
    "ALLOW_HTTP": _switch,
    "CORS_ORIGINS": _list,
    "DATABASE_DIRECT_URL": postgresql_url,
    "DATABASE_URL": postgresql_url,
    "FRONTEND_URL": _base_url,
    "JWT_SECRET": _list,
    "OIDC_PROVIDERS": _providers,
    "PUBLIC_URL": _base_url,
    "RATE_LIMITS": _switch,
}


@functools.cache
def settings() -> Settings:
    """Return this process's settings: its environment, then the file ENV_FILE (`.env`).

    Raises:
        SettingsError: A value is wrong, or the file can't be read.
    """
    from_file = {name: value for name, value in _from_file().items() if value}
    return load({**from_file, **os.environ})


def _from_file() -> dict[str, str | None]:
    """Read the file; one that was named must be there, lest another database is taken for ours."""
    named = os.environ.get("ENV_FILE")
    if named and not Path(named).exists():
        raise SettingsError(f"ENV_FILE: there is no file {named}.")
    file = named or str(PROJECT_ROOT / ".env")
    try:
        return dotenv_values(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} can't be read: {error}.") from error


def _require_sound_paths(loaded: Settings) -> None:
    if not ADMIN_PATH_FORM.fullmatch(loaded.ADMIN_PATH) or _first(loaded.ADMIN_PATH) in OWN_PATHS:
        raise SettingsError("ADMIN_PATH is a path like /admin that nothing else has, or off.")
    if not PUBLIC_URL_FORM.fullmatch(loaded.PUBLIC_URL):
        raise SettingsError(
            "PUBLIC_URL is an address like https://example.org or https://example.org/events."
        )
    # Of a request for /api/…, nobody could tell whether a proxy has taken the path off.
    taken = {*OWN_PATHS, _first(loaded.ADMIN_PATH)} - {ADMIN_OFF}
    if _first(loaded.public_path) in taken:
        raise SettingsError(
            f"PUBLIC_URL: its path can't begin with one of {', '.join(sorted(taken))}."
        )


def _first(path: str) -> str:
    return path.removeprefix("/").partition("/")[0]


def _require_sound_providers(loaded: Settings) -> None:
    for name, provider in loaded.OIDC_PROVIDERS.items():
        if not PROVIDER_NAME.fullmatch(name) or name in TAKEN_NAMES:
            raise SettingsError(f"OIDC_PROVIDERS: {name!r} can't be the name of a provider.")
        posts = provider.response_mode is ResponseMode.FORM_POST
        is_local = urlsplit(loaded.PUBLIC_URL).hostname in LOCAL_HOSTS
        if posts and not (loaded.serves_https or is_local):
            raise SettingsError(
                f"OIDC_PROVIDERS: browsers keep the cookie that the form_post of {name} needs "
                "with HTTPS alone, and PUBLIC_URL has none."
            )


def _require_sound_mail(loaded: Settings) -> None:
    if loaded.mail_server is not None and loaded.MAIL_FROM is None:
        raise SettingsError("MAIL_URL needs MAIL_FROM, the address that mails come from.")


def _refuse_insecure(loaded: Settings, given: Mapping[str, Any]) -> None:
    faults = []
    if loaded.DATABASE_URL is None:
        faults.append("DATABASE_URL is missing.")
    faults += _faults_of_secret("JWT_SECRET", loaded.JWT_SECRET, given)
    if loaded.ADMIN_MFA is not SecondFactor.OFF or "ADMIN_MFA_KEY" in given:
        faults += _faults_of_secret("ADMIN_MFA_KEY", loaded.ADMIN_MFA_KEY, given)
    if not (loaded.ALLOW_HTTP or loaded.serves_https):
        faults.append(
            f"PUBLIC_URL is {loaded.PUBLIC_URL}, over which anybody on the way reads tokens: "
            "use https, or set ALLOW_HTTP=1 in a network of your own."
        )
    if loaded.DEMO_PASSWORD is not None:
        faults.append("DEMO_PASSWORD is for development only.")
    if faults:
        raise SettingsError("Production refuses to start: " + " ".join(faults))


def _faults_of_secret(name: str, secrets: tuple[str, ...], given: Mapping[str, Any]) -> list[str]:
    if name not in given:
        return [f"{name} is missing."]
    faults = []
    if any(len(secret.encode()) < SHORTEST_SECRET_BYTES for secret in secrets):
        faults.append(f"{name} is shorter than {SHORTEST_SECRET_BYTES} bytes.")
    if EXAMPLE_SECRETS.intersection(secrets):
        faults.append(f"{name} is an example; {MAKE_ONE}.")
    elif not faults and not all(map(_looks_random, secrets)):
        faults.append(f"{name} can be guessed: it is made of words or repeats itself; {MAKE_ONE}.")
    return faults


def _looks_random(secret: str) -> bool:
    """Tell whether guessing a secret takes about as long as its length says."""
    text = secret[:LONGEST_ESTIMATED]
    # What a machine makes is ASCII; the words that are known are English.
    if not text.isascii():
        return False
    return float(zxcvbn.zxcvbn(text)["guesses_log10"]) >= LEAST_GUESSES_LOG10 * len(text)

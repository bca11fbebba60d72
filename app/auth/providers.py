"""The providers that people may sign in with, as they are configured."""

import functools
from collections.abc import Mapping

import msgspec

from app.errors import NotFound, OAuthNotConfigured
from app.settings import TENANT, OidcProvider, ResponseMode, settings

GOOGLE = "google"
GOOGLE_ISSUER = "https://accounts.google.com"
TITLES = {GOOGLE: "Google"}
"""What providers are called; others as they are configured."""
EVERY_TENANT = "common"
"""Where Microsoft's platform describes itself for all tenants."""


class Provider(msgspec.Struct, frozen=True):
    """A provider that people may sign in with."""

    name: str
    configured: OidcProvider

    @property
    def title(self) -> str:
        """What people know it by."""
        return TITLES.get(self.name, self.name.capitalize())

    @property
    def path(self) -> str:
        """Where its sign-in begins here."""
        return f"/api/v1/auth/{self.name}"

    @property
    def redirect_uri(self) -> str:
        """Where it sends the browser back to; registered there exactly so."""
        return f"{settings().PUBLIC_URL}{self.path}/callback"

    @property
    def posts(self) -> bool:
        """Whether browsers bring its answers in a form."""
        return self.configured.response_mode is ResponseMode.FORM_POST

    @property
    def description_url(self) -> str:
        """Where it describes itself (OpenID Connect Discovery, 4)."""
        issuer = self.configured.issuer.replace(TENANT, EVERY_TENANT).removesuffix("/")
        return f"{issuer}/.well-known/openid-configuration"

    @property
    def issuers(self) -> frozenset[str]:
        """Who its ID tokens may come from: its issuer, or that of each tenant."""
        tenants = self.configured.tenants
        return frozenset(map(self.issuer_of, tenants)) or frozenset({self.configured.issuer})

    def issuer_of(self, tenant: str) -> str:
        """Name the issuer of a tenant."""
        return self.configured.issuer.replace(TENANT, tenant)


@functools.cache
def providers() -> Mapping[str, Provider]:
    """Return the configured providers by name."""
    current = settings()
    configured = dict(current.OIDC_PROVIDERS)
    if current.GOOGLE_CLIENT_ID and current.GOOGLE_CLIENT_SECRET and GOOGLE not in configured:
        configured[GOOGLE] = OidcProvider(
            GOOGLE_ISSUER, current.GOOGLE_CLIENT_ID, current.GOOGLE_CLIENT_SECRET
        )
    return {name: Provider(name, each) for name, each in configured.items()}


def provider_named(name: str) -> Provider:
    """Find a provider.

    Raises:
        OAuthNotConfigured: It is Google, and has no credentials here.
        NotFound: There is none of this name.
    """
    provider = providers().get(name)
    if provider is None:
        raise OAuthNotConfigured if name == GOOGLE else NotFound
    return provider

"""Where webhooks may lead: to addresses of the internet, and in development to this machine. Pure.

An endpoint's name is looked up at each connection, which goes to the address that was looked at
here: a name that means another one a moment later (DNS rebinding) leads nowhere else.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

NAT64 = IPv6Network("64:ff9b::/96")
LONGEST_URL = 2_000


def is_allowed(address: str, *, allows_loopback: bool) -> bool:
    """Tell whether a connection may go to an address.

    Args:
        address: As a resolver returns it.
        allows_loopback: Whether this machine is allowed, as in development.
    """
    found = _innermost(ip_address(address))
    if found.is_loopback:
        return allows_loopback
    return found.is_global and not found.is_multicast


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address to which one of IPv6 leads by a translation, or itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = None if address.teredo is None else address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or teredo or address


def fault_of_url(url: str, *, allows_local: bool) -> str | None:
    """Say what is wrong with the address of an endpoint; None where nothing is.

    Args:
        url: As an app gives it.
        allows_local: Whether plain http and this machine are allowed, as in development.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        return "Write it in ASCII: names of hosts in Punycode, the rest percent-encoded."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "Not an address."
    if parts.scheme not in ({"http", "https"} if allows_local else {"https"}) or not host:
        return "Has to be an https address."
    if "@" in parts.netloc or "#" in url:
        return "Has to be without a password and a fragment."
    try:
        is_fine = is_allowed(host, allows_loopback=allows_local)
    except ValueError:  # a name, which is looked up when something is sent
        return None
    return None if is_fine else "Leads to an address that is not of the internet."

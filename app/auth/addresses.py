"""Where a request comes from: the peer, or what proxies of ours say of it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPV6_SUBSCRIBER_BITS = 64
"""Whoever has one IPv6 address has as many as these bits leave."""


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted_proxies: int) -> str:
    """Tell the client's address.

    Each proxy adds the address that it was called from at the end of X-Forwarded-For; what comes
    before the additions of our own proxies may have been made up by the client.

    Args:
        peer: Who opened the connection.
        forwarded_for: The values of X-Forwarded-For, one for each header line.
        trusted_proxies: How many proxies of ours a request goes through.

    Returns:
        An address in its canonical form; the peer as it stands where there is none.
    """
    claimed = [part for value in forwarded_for for part in value.split(",")]
    hops = [*claimed, peer or ""]
    for hop in hops[max(0, len(hops) - 1 - trusted_proxies) :]:
        if (address := _parsed(hop)) is not None:
            return str(address)
    return peer or "unknown"


def subscriber(address: str) -> str:
    """Return what rate limits count as one place: an IPv4 address, or an IPv6 network."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_SUBSCRIBER_BITS), strict=False))
    return address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, also with a port or in brackets, as some proxies write it."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

"""Announces the service in the local network by multicast DNS, which Home Assistant looks for (RFC 6762, RFC 6763)."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator

import ifaddr
from zeroconf import InterfaceChoice
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE = "_wyoming._tcp.local."


@contextlib.asynccontextmanager
async def announced(address: str, port: int, name: str) -> AsyncIterator[None]:
    """Announces `name` at `address` while the block runs; 0.0.0.0 stands for every interface. Raises OSError."""
    everywhere = ipaddress.ip_address(address).is_unspecified
    zeroconf = AsyncZeroconf(interfaces=InterfaceChoice.All if everywhere else [address])
    try:
        info = AsyncServiceInfo(
            SERVICE,
            f"{name}.{SERVICE}",
            parsed_addresses=own_addresses() if everywhere else [address],
            port=port,
            server=f"{socket.gethostname()}.local.",
        )
        await zeroconf.async_register_service(info, allow_name_change=True)
        yield
    finally:
        await zeroconf.async_close()


def own_addresses() -> list[str]:
    """This machine's addresses that others can reach; those of loopback where there are no others."""
    found = [ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    addresses = [str(ip.ip) for ip in found]
    return [a for a in addresses if not ipaddress.ip_address(a).is_loopback] or addresses

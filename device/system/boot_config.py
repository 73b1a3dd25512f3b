"""What `dictation.toml` on the card becomes: the appliance's configuration, and the files of the machine's own parts.

Everything is written below /run, in memory: the root is read-only, and a card from which something was removed
leaves nothing of it behind.

>>> plan(schema.SystemSettings(hostname="desk")).units
()
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from device.config import schema

FOLDER = Path("run/dictate-setup")
CONFIGURATION = FOLDER / "dictation.toml"
"""/etc/dictate/dictation.toml on the image is a link to it."""
ERROR = FOLDER / "error"
UPDATE_ERROR = FOLDER / "update-error"
"""Written by /usr/lib/dictate/release."""
KEYS = FOLDER / "authorized_keys"
WIFI = FOLDER / "wpa_supplicant.conf"
TOKEN = FOLDER / "web-token"
"""A credential of dictate-web.service."""
USB = FOLDER / "usb-network"
"""Where it is, /usr/lib/dictate/keyboard-gadget makes a network card beside the keyboard."""
NETWORKS = Path("run/systemd/network")
CABLE = NETWORKS / "15-dictate-usb.network"
WIRED, WIRELESS = NETWORKS / "20-dictate-wired.network", NETWORKS / "25-dictate-wireless.network"

PUBLIC, PRIVATE = 0o644, 0o600

NETWORK = """[Match]
Type={kind}

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
ClientIdentifier=mac
"""
"""systemd.network(5). The lease goes by the MAC address, for the machine id is another after each start."""


CABLE_NETWORK = f"""[Match]
Type=gadget

[Network]
Address={schema.USB_ADDRESS}/29
DHCPServer=yes
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPServer]
EmitDNS=no
EmitNTP=no
EmitRouter=no
"""
"""The computer at the cable gets an address, and no route or name server: its other networks stay as they are."""

WEB = ("dictate-web-operations.socket", "dictate-web.service")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to the machine: the host name, files with their modes, the units to start."""

    hostname: str
    files: Mapping[Path, tuple[str, int]] = field(default_factory=dict)
    units: tuple[str, ...] = ()


OWNED = (CONFIGURATION, ERROR, KEYS, WIFI, TOKEN, USB, CABLE, WIRED, WIRELESS)
"""Every file that a plan may have, so that those that it has not can be removed."""


def plan(system: schema.SystemSettings, web: schema.WebSettings | None = None) -> Plan:
    """The machine that a configuration asks for: as it stands it has no network and nobody can log in."""
    files: dict[Path, tuple[str, int]] = {}
    units: list[str] = []
    if system.ssh_key:
        files[KEYS] = (f"{system.ssh_key}\n", PRIVATE)
        files[WIRED] = (NETWORK.format(kind="ether"), PUBLIC)
        units += ["systemd-networkd.service", "dictate-ssh.service"]
    if web and web.enabled:
        files |= _web_files(web)
        units += [*(["systemd-networkd.service"] if web.usb or web.address else []), *WEB]
    if system.wifi_ssid:
        files[WIFI] = (supplicant(system), PRIVATE)
        files[WIRELESS] = (NETWORK.format(kind="wlan"), PUBLIC)
        units.append("systemd-networkd.service")
    return Plan(system.hostname, files, tuple(dict.fromkeys(units)))


def _web_files(web: schema.WebSettings) -> dict[Path, tuple[str, int]]:
    files: dict[Path, tuple[str, int]] = {}
    if web.token:
        files[TOKEN] = (f"{web.token}\n", PRIVATE)
    if web.usb:
        files[USB] = ("", PUBLIC)
        files[CABLE] = (CABLE_NETWORK, PUBLIC)
    if web.address:
        files[WIRED] = (NETWORK.format(kind="ether"), PUBLIC)
    return files


def supplicant(system: schema.SystemSettings) -> str:
    """The wpa_supplicant.conf(5) for a network: its name in hexadecimal, its key derived, so nothing needs quoting.

    The key is PBKDF2-HMAC-SHA1 of the password with the name as salt, 4096 times, 256 bits (IEEE 802.11, J.4.1).
    """
    name, password = system.wifi_ssid.encode(), system.wifi_password
    if len(password) == 64:
        access = f"psk={password.lower()}\n\tkey_mgmt=WPA-PSK"
    elif password:
        access = f"psk={hashlib.pbkdf2_hmac('sha1', password.encode(), name, 4096, 32).hex()}\n\tkey_mgmt=WPA-PSK"
    else:
        access = "key_mgmt=NONE"
    return f"country={system.wifi_country}\nnetwork={{\n\tssid={name.hex()}\n\tscan_ssid=1\n\t{access}\n}}\n"


def warnings(root: Path = Path("/")) -> tuple[str, ...]:
    """What was not taken of the card, a line each."""
    lines: list[str] = []
    for file in (ERROR, UPDATE_ERROR):
        try:
            lines += (root / file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
    return tuple(lines)


def applied(root: Path = Path("/")) -> bool:
    """Whether `dictate setup` has applied a card at this start."""
    return (root / CONFIGURATION).exists()

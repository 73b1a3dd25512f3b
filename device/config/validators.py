"""Texts that have a form: host names, SSH keys, and what Wi-Fi wants to know.

>>> HOSTNAME.fits("dictate-2"), HOSTNAME.fits("-dictate"), COUNTRY.fits("de")
(True, False, False)
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

SSH_KEYS = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must look like, in words and as a check."""

    words: str
    fits: Callable[[str], bool]


def pattern(words: str, regex: str) -> Form:
    """A form whose texts a regular expression matches as a whole."""
    return Form(words, lambda text: re.fullmatch(regex, text) is not None)


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_ssh_key(text: str) -> bool:
    """Whether `text` is one line of a .pub file: type, base64 of a blob that begins with that type (RFC 4253, 6.6).

    >>> is_ssh_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me@home")
    True
    >>> is_ssh_key("ssh-ed25519 AAAA"), is_ssh_key('command="sh" ssh-ed25519 AAAA')
    (False, False)
    """
    kind, _, rest = text.partition(" ")
    if kind not in SSH_KEYS or not text.isprintable():
        return False
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        return False
    return blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()) and len(blob) >= 4 + len(kind) + 4 + 32


HOSTNAME = pattern(
    "a host name: 1 to 63 letters, digits and inner hyphens", r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
"""RFC 1123, section 2.1: one label."""

ADDRESS = Form("an IP address, such as 127.0.0.1", is_address)

SSID = Form("a network's name of at most 32 bytes", lambda text: len(text.encode("utf-8", "replace")) <= 32)
"""IEEE 802.11, 9.4.2.2."""

WIFI_PASSWORD = pattern("8 to 63 ASCII characters, 64 hex digits, or empty", r"([ -~]{8,63}|[0-9A-Fa-f]{64})?")
"""IEEE 802.11, J.4.1: a passphrase, or the key itself."""

COUNTRY = pattern('two capital letters, such as "DE"', r"([A-Z]{2})?")
"""ISO 3166-1 alpha-2, as the kernel's regulatory database names countries."""

SSH_KEY = Form("the line of an SSH public key file (.pub)", lambda text: not text or is_ssh_key(text))

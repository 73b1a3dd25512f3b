"""One download: a file from the network or the disk, of a bounded size and a known SHA-256, or a one-line error.

>>> download("ftp://example.org/x", Path("x"), sha256="0" * 64, largest=1)
Traceback (most recent call last):
models.download.DownloadError: ftp://example.org/x: only http and https addresses can be fetched
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Protocol

from models import files
from models.errors import UserError

TIMEOUT_S = 60.0
CHUNK = 1 << 18

Tell = Callable[[int, int | None], None]
"""Is given the bytes so far, and how many there will be if the server says so."""


class DownloadError(UserError):
    """The file cannot be had; the text is one line without advice."""


class WrongFile(DownloadError):
    """It is not the file that was asked for: too large, or another SHA-256."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    largest: int,
    timeout_s: float = TIMEOUT_S,
    tell: Tell = lambda done, total: None,
) -> Path:
    """Fetch `url` into `target`, at most `largest` bytes, and return `target`; nothing is left unless all is well.

    `timeout_s` is how long the server may be silent. Raises DownloadError, and OSError where `target` cannot be
    written.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url}: only http and https addresses can be fetched")
    with _verified(url, target, sha256) as file:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                length = answer.headers.get("Content-Length") or ""
                total = int(length) if length.isdigit() else None
                size = copy(_Answer(answer), file, url, largest, lambda done: tell(done, total))
        except urllib.error.HTTPError as error:
            raise DownloadError(f"{url} answers {error.code} {error.reason}") from None
        except (urllib.error.URLError, HTTPException, _Interrupted, TimeoutError, ConnectionError) as error:
            reason = " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
            raise DownloadError(f"{url} cannot be downloaded ({reason})") from None
        if total is not None and size != total:
            raise DownloadError(f"{url} ended after {size:,} of {total:,} bytes")
    return target


def take(source: Path, target: Path, *, sha256: str, largest: int) -> Path:
    """The same from a file that is there. Raises DownloadError, and OSError where `target` cannot be written."""
    try:
        opened = source.open("rb")
    except OSError as error:
        raise DownloadError(f"{source} cannot be read: {error.strerror}") from None
    with opened, _verified(str(source), target, sha256) as file:
        copy(opened, file, str(source), largest)
    return target


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


def copy(
    source: Readable, target: IO[bytes], name: str, largest: int, tell: Callable[[int], None] = lambda done: None
) -> int:
    """Copy `source` to its end and return the bytes; WrongFile beyond `largest`, since nobody vouched for its size."""
    size = 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > largest:
            raise WrongFile(f"{name} is larger than {largest:,} bytes")
        target.write(chunk)
        tell(size)
    return size


class _Interrupted(Exception):
    """Reading the answer failed, which is no fault of the disk."""


class _Answer:
    """A server's answer, whose faults cannot be taken for those of the file that is written."""

    def __init__(self, answer: Readable) -> None:
        self._answer = answer

    def read(self, size: int, /) -> bytes:
        try:
            return self._answer.read(size)
        except OSError as error:
            raise _Interrupted(error.strerror or str(error)) from None


@contextmanager
def _verified(source: str, target: Path, sha256: str) -> Iterator[IO[bytes]]:
    """A file beside `target` that takes its place, synced, if the block ends well and its SHA-256 is `sha256`."""
    with files.replacing(target) as part:
        with part.open("wb") as file:
            yield file
        with part.open("rb") as written:
            found = hashlib.file_digest(written, "sha256").hexdigest()
        if found != sha256:
            raise WrongFile(f"{source} is not the pinned file (SHA-256 {found}, wanted {sha256})")

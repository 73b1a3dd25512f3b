"""What an installation put onto a system, written down before it is put there, so that it can be taken away again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models import files
from models.errors import UserError

PLACE = Path("var/lib/dictate-install")
FILE = PLACE / "manifest.json"
SCRATCH = PLACE / "scratch"
SAVED = PLACE / "saved"
"""Files of the system that the installation replaced, at their own paths."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that an installation changes. Paths are relative to the root."""

    complete: bool = False
    """False from the first change to the last: an installation that broke off is repaired by the next one."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, or `link:` and where a symbolic link points to; empty while it is being made."""
    trees: tuple[str, ...] = ()
    """Folders that are ours as a whole."""
    folders: tuple[str, ...] = ()
    """Folders that were not there before."""
    saved: tuple[str, ...] = ()
    """Files that were there before with other contents, kept below SAVED."""
    config: str = ""
    """The config.txt that has our lines."""
    units: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """Debian packages that were not installed before."""
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


def read(root: Path) -> Manifest | None:
    """The manifest of the installation at `root`; None if there is none. Raises UserError if it cannot be read."""
    try:
        values: dict[str, Any] = json.loads((root / FILE).read_text())
        tuples: dict[str, Any] = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return Manifest(**{**values, **tuples})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{root / FILE}: cannot be read ({error}); move it away and install again") from error


def write(root: Path, manifest: Manifest) -> None:
    """Write the manifest, beside and renamed, onto the disk."""
    path = root / FILE
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write(path, json.dumps(asdict(manifest), indent=1) + "\n")

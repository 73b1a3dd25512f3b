"""What the release that runs says of itself: release.json, beside the folder that this package is installed in.

>>> without_coral()
False
"""

from __future__ import annotations

import json
from pathlib import Path

SITE = Path(__file__).resolve().parents[2]


def without_coral(site: Path = SITE) -> bool:
    """Whether the image was built --without-coral; False where no release says so, as in a checkout."""
    try:
        return json.loads((site.parent / "release.json").read_text())["without_coral"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False

"""Run in the virtual Pi: append to a journal of the appliance's own making as fast as it syncs, and say what is kept.

journal_writer.py SITE FOLDER PORT: `device.output.journal` of the release in SITE, a small file size so that files
follow each other; writes `kept ID` to PORT after each append has returned, which is after its fdatasync.
"""

import itertools
import sys
import time
from pathlib import Path

FILE_BYTES = 20_000


def text(number: int) -> str:
    """What edit `number` says: of a length that moves its end over every place in a sector."""
    return f"edit {number}: " + "dictated words " * (number * 7 % 23)


def main() -> None:
    site, folder, port = sys.argv[1:]
    sys.path.insert(0, site)
    from device.output.journal import Journal  # the release's
    from device.output.jsonl import JsonlLog

    journal = Journal(JsonlLog(Path(folder), FILE_BYTES, 1_000_000), time.time, "writer")
    with Path(port).open("w", buffering=1) as told:
        for number in itertools.count(1):
            journal.append(0, text(number))
            print("kept", number, file=told)


if __name__ == "__main__":
    main()

"""Reads altered copies of compiled models: `python tests/edgetpu_fuzz.py COUNT SEED FILE...`.

Runs under a limit on memory and processor time, so that a crash, a hang or a memory hog ends it with a
status; prints how many files were refused. Any exception but a clear refusal ends it with that file's seed.
"""

from __future__ import annotations

import random
import resource
import sys
from pathlib import Path

from convert.edgetpu import executable, mapping
from convert.edgetpu.flatbuffer import MalformedFile

MEMORY_BYTES = 64 << 20
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFC)


def mutate(content: bytes, random_: random.Random) -> bytes:
    """One altered copy: bits, bytes, extreme numbers, cuts, copies, or a truncated end."""
    data = bytearray(content)
    for _ in range(random_.choice((1, 1, 1, 2, 4, 16))):
        at = random_.randrange(len(data))
        if random_.random() < 0.5:  # large files are mostly weights: aim at the tables around them
            anchor = random_.choice((0, len(data) - 1, max(0, content.find(b"DWN1"))))
            at = min(len(data) - 1, max(0, anchor + random_.randrange(-2048, 2048)))
        match random_.randrange(7):
            case 0:
                data[at] ^= 1 << random_.randrange(8)
            case 1:
                data[at] = random_.randrange(256)
            case 2:
                data[at : at + 4] = random_.choice(EXTREMES).to_bytes(4, "little")
            case 3:
                data[at : at + 4] = random_.randrange(len(data)).to_bytes(4, "little")
            case 4:
                del data[at : at + random_.randrange(1, 64)]
            case 5:
                data[at:at] = data[at : at + random_.randrange(1, 64)]
            case 6:
                del data[at:]
        if not data:
            return b""
    return bytes(data)


def survives(content: bytes) -> bool:
    """Whether a file is read; a clear refusal is a False, anything else is raised."""
    try:
        executable.read(content)
    except (MalformedFile, executable.NotCompiled) as refusal:
        assert str(refusal) and "\n" not in str(refusal)
        return False
    return True


def predicts(content: bytes) -> bool:
    """The same for the mapping prediction."""
    try:
        mapping.predict(content)
    except (MalformedFile, mapping.AlreadyCompiled):
        return False
    return True


def main(count: int, seed: int, paths: list[Path]) -> None:
    contents = [path.read_bytes() for path in paths]
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
    refused = 0
    for number in range(count):
        name = f"{seed}:{number}"
        original = contents[number % len(contents)]
        content = mutate(original, random.Random(name))
        resource.setrlimit(resource.RLIMIT_CPU, (resource.getrusage(0).ru_utime.__ceil__() + 5, -1))
        try:
            refused += not (survives(content) if b"DWN1" in original else predicts(content))
        except BaseException:
            print(f"file {name} of {paths[number % len(paths)]}", file=sys.stderr)
            raise
    print(f"{count} altered files, {refused} refused")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [Path(argument) for argument in sys.argv[3:]])

"""The command line of provisioning/build-image."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from pathlib import Path

from models import terminal
from models.errors import UserError
from provisioning.common.progress import Progress
from provisioning.common.release import add_bundle_options, chosen_second_pass
from provisioning.common.target import REPOSITORY
from provisioning.image import rootfs
from provisioning.image.base import build_on
from provisioning.image.build import Request, build
from provisioning.image.layout import MIB

BUNDLE = REPOSITORY / "models" / "build" / "base"


@terminal.guarded()
def main(arguments: list[str], description: str) -> int:
    """Run it; returns the exit status: 0, 1 for an error that is named in one line, 130 for an interruption."""
    parser = _parser(description)
    options = parser.parse_args(arguments)
    os.umask(0o022)  # whoever runs this: the image's users read what is in it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    request = Request(options.out, options.bundle, options.config, options.update_key, options.without_coral,
                      options.coral, options.fresh, chosen_second_pass(options))  # fmt: skip
    progress = Progress()
    try:
        with progress.beating():
            if options.root_only:
                return _root_only(options.fresh, progress)
            if options.base == "debian":
                built = build(request, progress)
            else:
                built = build_on(Path(options.base), request, progress)
    except UserError as error:
        print(f"build-image: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        advice = "; free 2 GB there, or name another --out" if error.errno == errno.ENOSPC else ""
        print(f"build-image: {error.filename or options.out}: {error.strerror}{advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build-image: interrupted; nothing was left behind", file=sys.stderr)
        return 130
    progress.done(str(built.image))
    print(f"root tree {built.digest}")
    print(f"root file system {built.root_bytes / MIB:.0f} MiB, image {built.image.stat().st_size / MIB:.0f} MiB")
    print(f"release {built.release.id}{', without the Coral' * built.release.without_coral}")
    return 0


def _root_only(fresh: bool, progress: Progress) -> int:
    progress.step("root file system")
    progress.done(str(rootfs.archive(progress.say, fresh=fresh)))
    return 0


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build-image", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--base", default="debian", metavar="debian|FILE.img", help="what to build on: Debian's packages, or an image")
    add_bundle_options(parser, BUNDLE)
    add("--config", type=Path, metavar="dictation.toml", help="the configuration to put on the card")
    add("--out", type=Path, default=Path("dictation.img.zst"), metavar="FILE", help="*.img.zst or *.img")
    add("--without-coral", action="store_true", help="leave the Coral's driver out; the device says so")
    add("--coral", type=Path, metavar="FILE.deb", help="the Coral's driver, fetched by hand; verified all the same")
    add("--update-key", type=Path, metavar="KEY.pub", help="whose updates the device accepts; none without it")
    add("--fresh", action="store_true", help="take today's packages, not the root file system that is in the cache")
    add("--root-only", action="store_true", help="only put the bare root file system into the cache")
    return parser

"""`provisioning/install`: the appliance on a running Debian or Raspberry Pi OS.

Order: recognise the system, say what will change and ask, packages, release, layer, start. Whatever breaks off is
repaired by running it again, or taken away by `--uninstall`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from models import terminal
from models.errors import UserError
from provisioning.common import drivers, layer, process
from provisioning.common.release import add_bundle_options, build_release, check_bundle, chosen_second_pass
from provisioning.common.target import REPOSITORY
from provisioning.image.rootfs import cache_directory
from provisioning.installer import boot, changes, manifest, packages, system
from provisioning.installer.manifest import Manifest
from provisioning.installer.system import System

ROOT = Path("/")
BUNDLE = REPOSITORY / "models" / "build" / "base"
NEEDED_MB = 800
"""Free space that a first installation asks for: packages, wheels while they are unpacked, the release twice."""


class Driver(NamedTuple):
    """The Coral's driver: name of the Debian package, and the verified file."""

    package: str
    file: Path


@terminal.guarded()
def main(arguments: Sequence[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Run the command; `ask` gets a question and answers it. Returns the exit status."""
    given = parser().parse_args(arguments)
    os.umask(0o022)  # whoever runs this: the service's user reads what is installed
    try:
        if os.geteuid():
            raise UserError("this changes the system; run it with sudo")
        _uninstall(given, ask) if given.uninstall else _install(given, ask)
    except UserError as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"install: {error}; mend that and run it again, or take it back with --uninstall", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\ninstall: stopped; run it again to finish, or with --uninstall to take it back", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="provisioning/install", description="Make this machine a dictation appliance.")
    add_bundle_options(top, BUNDLE)
    top.add_argument("--without-coral", action="store_true", help="leave out the Coral's library: use the CPU")
    top.add_argument("--coral", type=Path, metavar="FILE.deb", help="its driver, fetched by hand; verified too")
    top.add_argument("--meter", action="store_true", help="an INA219 is wired: switch I2C on and load its driver")
    top.add_argument("--uninstall", action="store_true", help="take away what was installed")
    top.add_argument("--purge", action="store_true", help="with --uninstall: journal, configuration and user as well")
    top.add_argument("--yes", action="store_true", help="do not ask")
    return top


def _install(given: argparse.Namespace, ask: Callable[[str], str]) -> None:
    here = system.recognise(ROOT)
    before = manifest.read(ROOT)
    if system.is_our_image(ROOT, installed=before is not None):
        raise UserError("this is an image of ours; bring it up to date with `dictate update FILE`")
    if not (given.bundle / "bundle.json").is_file():
        raise UserError(f"{given.bundle} holds no model; build one with `make demo`, or name one by --bundle")
    second = chosen_second_pass(given)
    if second:
        check_bundle(second)
    _need_space(ROOT, before)
    driver = None if given.without_coral else _driver(here, given.coral)
    missing = [name for name in system.PACKAGES if name not in packages.installed(ROOT)]
    planned = changes.plan(ROOT, before)
    lines = (*boot.KEYBOARD, *(boot.METER if given.meter else ()))
    print(summary(here, planned, missing, lines))
    _confirm(given.yes, ask, "Install?")

    wanted = [*system.PACKAGES, *([driver.package] if driver else [])]
    coming = packages.coming(ROOT, system.PACKAGES) | (set(wanted) - packages.installed(ROOT))
    planned = replace(planned, packages=tuple(sorted({*planned.packages, *coming})))
    manifest.write(ROOT, replace(before or Manifest(), complete=False, packages=planned.packages))
    _say("packages of the system")
    packages.add(ROOT, system.PACKAGES)
    if driver:
        _say(driver.package)
        drivers.install(ROOT, driver.file)
    with scratch(ROOT / manifest.SCRATCH) as folder:
        build_release(folder / "release", here.target, given.bundle, second_pass=second,
                      without_coral=given.without_coral, say=_say)  # fmt: skip
        _say("files")
        changes.apply(ROOT, folder / "release", planned, lines, _say)
    _start(planned)
    print("installed; `dictate doctor` says what is still missing" + _restart(planned))


def _driver(here: System, file: Path | None) -> Driver:
    """The Coral's driver, verified. Raises UserError where it cannot be had."""
    if here.target.machine != "aarch64":
        raise UserError(f"the Coral's driver is for aarch64, and this is {here.target.machine}; use --without-coral")
    pin = drivers.pin_for(here.target)
    return Driver(pin.package, drivers.fetch(pin, cache_directory(), file))


def _uninstall(given: argparse.Namespace, ask: Callable[[str], str]) -> None:
    there = manifest.read(ROOT)
    if there is None:
        raise UserError("nothing is installed here by provisioning/install")
    kept = "" if given.purge else "; journal and configuration stay (--purge removes them)"
    print(f"Takes away {len(there.files)} files, the application and up to {len(there.packages)} packages{kept}.")
    _confirm(given.yes, ask, "Uninstall?")
    if _running():
        process.attempt("systemctl", "stop", *there.units)
    left = packages.remove(ROOT, there.packages)
    changes.remove(ROOT, there, purge=given.purge, say=_say)
    _reload()
    if left:
        _say(f"packages that something else may need stay; see: apt-get remove {' '.join(sorted(left))}")
    print("uninstalled" + _restart(there))


def summary(here: System, planned: Manifest, missing: Sequence[str], lines: Sequence[str]) -> str:
    """What an installation will do, for a person to agree to."""
    changed = f"lines in /{planned.config}: {'; '.join(lines)}" if planned.config else "nothing in config.txt"
    return "\n".join(
        [
            f"{here.name}, Python {here.target.version}, {here.target.machine}. This will add",
            f"  packages   {' '.join(missing) or 'none'}",
            f"  files      {len(planned.files)} below {', '.join(_tops(planned))}; the application in /{layer.FACTORY}",
            f"  boot       {changed}",
            f"  services   {', '.join(planned.units)}, started at boot",
            *(f"  kept safe  /{name}, which is replaced" for name in planned.saved if name != planned.config),
        ]
    )


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder for a while. What an installation that was killed left in it is removed first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tops(planned: Manifest) -> list[str]:
    return sorted({f"/{'/'.join(Path(name).parts[:2])}" for name in planned.files})


def _need_space(root: Path, before: Manifest | None) -> None:
    for place in (root, root / "var/lib"):
        status = os.statvfs(place)
        free = status.f_bavail * status.f_frsize // 10**6
        if status.f_flag & os.ST_RDONLY:
            raise UserError(f"{place} is read-only; switch its overlay file system off (raspi-config) and try again")
        if free < NEEDED_MB // (2 if before else 1):
            raise UserError(f"{free} MB free at {place}; make room for {NEEDED_MB} MB")


def _confirm(yes: bool, ask: Callable[[str], str], question: str) -> None:
    if not yes and ask(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("not agreed to; nothing was changed")


def _running() -> bool:
    """Whether systemd runs this system, which it does not in a chroot."""
    return Path("/run/systemd/system").is_dir()


def _reload() -> None:
    if _running():
        for command in (["systemctl", "daemon-reload"], ["udevadm", "control", "--reload"], ["udevadm", "trigger"]):
            process.attempt(*command)


def _start(planned: Manifest) -> None:
    _reload()
    if _running():
        done = process.attempt("systemctl", "restart", *planned.units)
        if done.returncode:
            _say(f"the service does not start yet: {done.stderr.strip().splitlines()[-1:]}; see `dictate doctor`")


def _restart(changed: Manifest) -> str:
    return "; restart for config.txt to take effect" if changed.config else ""


def _say(what: str) -> None:
    print(f"  {what}", flush=True)

"""Writes a root tree into a disk image, without mounting anything."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from models.errors import UserError
from provisioning.common import process, tree
from provisioning.image.layout import BLOCK, MIB, SECTOR, Layout, Names, ext4_size

TOOLS = ("sfdisk", "mkfs.vfat", "mcopy", "mke2fs", "debugfs", "bmaptool", "zstd")
LARGEST_CARD = 1 << 40
"""The data partition can grow to this while it is mounted, in bytes."""
FIRMWARE = Path("boot/firmware")
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize"
)
"""Of both ext4 file systems, whatever mke2fs.conf of the building machine says."""
CHECKSUMS = "metadata_csum"
"""Features of the root, which is not written to."""
TEARABLE = "uninit_bg"
"""Features of the data partition, which is written to when the power may go; not metadata_csum.

ext4 writes its superblock in place at each mount and each growth, and the medium may keep one of its two sectors only.
All that changes while in use is in the first sector, so either version of it is a sound superblock; but a checksum over
both (metadata_csum) makes it one that neither kernel nor `e2fsck -p` accepts. A partition of this size has no backup.
"""


def check_output(out: Path) -> None:
    """Raise UserError for a place where no image is written: a device, a folder, a name of another kind."""
    try:
        mode = out.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISBLK(mode) or out.resolve().is_relative_to("/dev"):
        raise UserError(f"{out} is a device: write a file here, then `provisioning/flash FILE DEVICE`")
    if not stat.S_ISREG(mode):
        raise UserError(f"{out} is no file; name one that ends in .img or .img.zst")
    if not out.name.endswith((".img", ".img.zst")):
        raise UserError(f"{out}: the name of an image ends in .img or .img.zst")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is no folder; make it first")


def write_image(root: Path, image: Path, digest: str, epoch: int, firmware_size: int = 256 * MIB) -> Layout:
    """Write the tree `root` to the new file `image`; /boot/firmware becomes the FAT partition and leaves the tree.

    `digest` gives the file systems their identifiers, `epoch` (seconds since 1970) their time stamps.
    """
    firmware = image.with_name(f"{image.name}.firmware")
    (root / FIRMWARE).rename(firmware)
    (root / FIRMWARE).mkdir(0o755)
    tree.clamp_times(root / FIRMWARE.parent, epoch)
    entries = sum(1 for _ in tree.walk(root))
    layout, names = Layout.of(ext4_size(tree.size(root), entries), firmware_size), Names(digest)
    with image.open("wb") as file:
        file.truncate(layout.size)
    process.run("sfdisk", "--quiet", image, input=layout.script(names.disk))
    _fat(image, layout, names, firmware, epoch)
    _ext4(image, layout.root.label, layout.root.start, layout.root.size, names, epoch, "-d", str(root), "-J", "size=4",
          "-O", f"{FEATURES},{CHECKSUMS}")  # fmt: skip
    _settle_times(image, layout.root.start, root, epoch)
    grown = f"resize={LARGEST_CARD // BLOCK}"
    _ext4(image, layout.data.label, layout.data.start, layout.data.size, names, epoch, "-E", grown,
          "-O", f"{FEATURES},{TEARABLE}")  # fmt: skip
    shutil.rmtree(firmware)
    return layout


def compress(image: Path, out: Path, say: Callable[[str], None]) -> Path:
    """Put `image` and its block map (bmaptool(1)) at `out`, compressed if that ends in .zst; returns the block map."""
    blocks = image.with_name(f"{image.name}.bmap")
    process.run("bmaptool", "--quiet", "create", "--output", blocks, image)
    made = image
    if out.suffix == ".zst":
        say("compress")
        made = image.with_name(f"{image.name}.zst")
        process.run("zstd", "--quiet", "-T0", "-3", "--long=27", image, "-o", made)
    beside = out.with_name(f"{out.name.removesuffix('.zst')}.bmap")
    blocks.replace(beside)
    made.replace(out)
    return beside


def check_space(folder: Path, needed: int) -> None:
    """Raise UserError where `folder` has less than `needed` bytes to give."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        message = f"{folder} has {free // MIB} MiB free and {needed // MIB} are needed"
        raise UserError(f"{message}: free some, or name another --out")


def _fat(image: Path, layout: Layout, names: Names, content: Path, epoch: int) -> None:
    start, size = layout.firmware.start, layout.firmware.size
    # Two sectors to a cluster: with mkfs.vfat's own choice of one, mtools finds no room for directories.
    options = ["-F", "32", "-s", "2", "-n", layout.firmware.label, f"--offset={start // SECTOR}"]
    # --invariant: the label has a fixed date; it sets a volume number too, so ours comes after it.
    process.run("mkfs.vfat", "--invariant", "-i", names.volume, *options, image, str(size // 1024))
    fill_fat(image, start, content, epoch)


def fill_fat(image: Path, start: int, content: Path, epoch: int) -> None:
    """Copy the folder `content` into the FAT that begins at byte `start` of `image`, over what is there."""
    place, environment = f"{image}@@{start}", _fat_environment(epoch)
    for folder in [content, *(path for path in tree.walk(content) if path.is_dir())]:
        inside = f"::/{folder.relative_to(content).as_posix()}".removesuffix("/.")
        if folder != content and not _fat_has(place, inside):
            process.run("mmd", "-i", place, inside, environment=environment)
        files = sorted(path for path in folder.iterdir() if path.is_file())
        if files:
            process.run("mcopy", "-Q", "-m", "-o", "-i", place, *files, f"{inside}/", environment=environment)


def read_fat(image: Path, start: int, name: str, to: Path) -> bool:
    """Copy the file `name` out of the FAT that begins at byte `start` of `image`; False where there is none."""
    try:
        process.run("mcopy", "-n", "-i", f"{image}@@{start}", f"::/{name}", to, environment=_fat_environment(0))
    except UserError:
        return False
    return True


def _settle_times(image: Path, start: int, root: Path, epoch: int) -> None:
    """Set when inodes changed and were read, which mke2fs takes from the tree, where nobody can set the former."""
    paths = ["/", *(f"/{path.relative_to(root)}" for path in tree.walk(root))]
    commands = (f'set_inode_field "{path}" {field} @{epoch}\n' for path in paths for field in ("atime", "ctime"))
    script = f"set_current_time @{epoch}\n{''.join(commands)}"
    process.run("debugfs", "-w", "-f", "-", f"{image}?offset={start}", input=script)


def _fat_has(place: str, folder: str) -> bool:
    try:
        process.run("mdir", "-b", "-i", place, folder, environment=_fat_environment(0))
    except UserError:
        return False
    return True


def _fat_environment(epoch: int) -> dict[str, str]:
    return {"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC"}


def _ext4(image: Path, label: str, start: int, size: int, names: Names, epoch: int, *options: str) -> None:
    extended = f"offset={start},hash_seed={names.uuid(f'{label} seed')},lazy_itable_init=0,lazy_journal_init=0"
    words, rest = ["-E", extended], list(options)
    if "-E" in rest:
        place = rest.index("-E")
        words[1] += f",{rest[place + 1]}"
        del rest[place : place + 2]
    process.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-m", "0", "-L", label,
                "-U", names.uuid(label), *words, *rest, image, f"{size // 1024}k",
                environment={"E2FSPROGS_FAKE_TIME": str(epoch)})  # fmt: skip

"""The language stage: check a KenLM file and that the lexicon spells every word of it, and put it into the bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from models import files
from models.errors import UserError

LARGEST = 22_000_000  # bytes
MAGIC = b"mmap lm http://kheafield.com/code format version 5"
KIND = 96  # where the file says what it is: 0 and 1 are hash tables, 2 to 5 tries
MARKERS = {"<unk>", "<s>", "</s>"}


class LanguageError(UserError):
    """The language model cannot be used; the message names the cause and the next step."""


def vocabulary(path: Path) -> list[str]:
    """The words of a KenLM binary, without its markers, in the file's order. Raises LanguageError.

    `build_binary` appends them to the file, each ended by a zero byte, <unk> first (kenlm's lm/vocab.cc).
    """
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        raise LanguageError(f"{path}: not a KenLM binary of version 5; pack the ARPA file with KenLM's build_binary")
    if len(content) <= KIND or content[KIND] < 2:
        raise LanguageError(f"{path}: a KenLM hash table; pack the ARPA file with `build_binary trie`")
    begin = content.rfind(b"<unk>\0")
    if begin < 0:
        raise LanguageError(f"{path}: holds no words; build it without build_binary's -i, or fetch it again")
    try:
        words = content[begin:].decode("utf-8").removesuffix("\0").split("\0")
    except UnicodeDecodeError:
        raise LanguageError(f"{path}: its words are not UTF-8; fetch it again") from None
    return [word for word in words if word not in MARKERS]


def build(source: Path, out: Path, words: Iterable[str]) -> Path:
    """Copy a KenLM binary to `out` and return it.

    words: what the lexicon spells. A word of the model that is not among them could never be recognised, so it is an
    error. Raises LanguageError.
    """
    try:
        size = source.stat().st_size
        known = vocabulary(source)
    except OSError as error:
        raise LanguageError(
            f"{source}: {error.strerror}; run `python -m models.training.language_model train`"
        ) from None
    if size > LARGEST:
        raise LanguageError(f"{source}: {size:,} bytes, above {LARGEST:,}; prune it further")
    if missing := sorted(set(known) - set(words)):
        more = f"{missing[0]!r} ({len(missing)} in all)"
        raise LanguageError(f"{source}: the lexicon has no {more}; make the lexicon again")
    with files.replacing(out) as part:
        shutil.copyfile(source, part)
    return out

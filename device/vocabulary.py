"""The user's own words: a small file, one word or name a line, and what it sounds like if that is not obvious.

>>> words = parse("# mine\\nXiaoming\\tshao ming\\nNew York\\n")
>>> words[0]
Word(written='Xiaoming', sounds_like='shao ming')
>>> spellings(words)["xiaoming"], spellings(words)["new york"], spellings(words)["new_york"]
('Xiaoming', 'New York', 'New York')
>>> lexicon(words, lambda word: list(word))[0]
('xiaoming', ('s', 'h', 'a', 'o', 'm', 'i', 'n', 'g'))
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError

LARGEST = 1 << 20
"""Bytes of the file."""

Pronounce = Callable[[str], Sequence[str]]
"""One lower-case word to the acoustic model's tokens; raises ValueError when it cannot be read."""


@dataclass(frozen=True, slots=True)
class Word:
    """How something is written, and words that sound like it (empty: like its own letters)."""

    written: str
    sounds_like: str = ""

    @property
    def heard(self) -> str:
        """What the recogniser calls it: lower case, without spaces."""
        return "_".join(self.written.lower().split())

    @property
    def line(self) -> str:
        """Its line in the file."""
        return f"{self.written}\t{self.sounds_like}\n" if self.sounds_like else f"{self.written}\n"


class VocabularyError(UserError):
    """A word or a line of the file cannot be used; the message says which and why."""


def word(written: str, sounds_like: str = "") -> Word:
    """A checked word. Raises :class:`VocabularyError`."""
    written, sounds_like = " ".join(written.split()), " ".join(sounds_like.lower().split())
    if not written or written.startswith("#") or not any(map(str.isalnum, written)):
        raise VocabularyError(f"{written!r}: a word needs a letter or digit and does not begin with #")
    if any(unicodedata.category(char).startswith("C") for char in written + sounds_like):
        raise VocabularyError(f"{written!r}: has a control character; type it without")
    wrong = [char for char in sounds_like if not (char.isalpha() or char in "' ")]
    if wrong:
        raise VocabularyError(f"{sounds_like!r}: sounds-like has {wrong[0]!r}; spell it in letters, as words")
    return Word(written, sounds_like)


def parse(text: str, name: str = "words") -> tuple[Word, ...]:
    """The words of a file's text: written form, then perhaps a tab and what it sounds like; # is a comment."""
    words: list[Word] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        written, _, sounds_like = line.partition("\t")
        try:
            words.append(word(written, sounds_like))
        except VocabularyError as error:
            raise VocabularyError(f"{name}:{number}: {error}") from None
    return tuple(words)


def load(file: Path) -> tuple[Word, ...]:
    """The words of a file; none if there is no file. Raises :class:`VocabularyError` or OSError."""
    return parse(_text(file), str(file))


def add(file: Path, new: Word) -> bool:
    """Append a word and return whether it was new. The file changes at once or not at all."""
    with _alone(file) as folder:
        text = _text(file, folder)
        if new in parse(text, str(file)):
            return False
        _replace(folder, file.name, text + ("\n" if text and not text.endswith("\n") else "") + new.line)
        return True


def remove(file: Path, written: str) -> int:
    """Remove every line for `written` and return how many there were; the other lines stay as they are."""
    with _alone(file) as folder:
        text = _text(file, folder)
        parse(text, str(file))
        lines = text.split("\n")
        kept = [line for line in lines if [w.written for w in parse(line)] != [" ".join(written.split())]]
        if len(kept) < len(lines):
            _replace(folder, file.name, "\n".join(kept))
        return len(lines) - len(kept)


class Watched:
    """Reads the file again when it has changed, so that a word is known without a restart.

    >>> Watched(Path("/nonexistent/words.tsv")).words()
    ()
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: tuple[int, ...] | None = None
        self._words: tuple[Word, ...] = ()

    def words(self) -> tuple[Word, ...]:
        """The words now. Raises what :func:`load` does, each time until the file is put right."""
        try:
            now = self.file.lstat()
            seen: tuple[int, ...] = (now.st_ino, now.st_mtime_ns, now.st_size)
        except FileNotFoundError:
            seen = ()
        if seen != self._seen:
            self._words = load(self.file)
            self._seen = seen
        return self._words


def spellings(words: Iterable[Word]) -> dict[str, str]:
    """What is recognised, as one word or several, to how it is written; for :func:`device.text.rules_from`."""
    found: dict[str, str] = {}
    for each in words:
        found[each.heard] = each.written
        found[each.written.lower()] = each.written
    return found


def lexicon(words: Iterable[Word], pronounce: Pronounce) -> list[tuple[str, tuple[str, ...]]]:
    """What the recogniser calls each word, and its tokens. Raises :class:`VocabularyError` naming the word."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for each in words:
        said = (each.sounds_like or each.written.lower()).replace("-", " ").split()
        try:
            tokens = tuple(token for part in said for token in pronounce(part))
        except (ValueError, UserError) as error:
            hint = "" if each.sounds_like else "; say how with --sounds-like"
            raise VocabularyError(f"{each.written}: {error}{hint}") from None
        found.append((each.heard, tokens))
    return found


def _text(file: Path, folder: int | None = None) -> str:
    """The file's text; empty if there is none. `folder` is its folder, opened before.

    `dictate words` is run as root, in a folder that the service's user may write to: so a link, or a file of somebody
    else's, is refused rather than read (CWE-59).
    """
    if folder is None:
        try:
            folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return ""
        try:
            return _text(file, folder)
        finally:
            os.close(folder)
    try:
        descriptor = os.open(file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise VocabularyError(f"{file}: is a link; put the file itself there") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.fstat(folder).st_uid:
            raise VocabularyError(f"{file}: is not a file of its folder's owner; remove it, or chown it")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(data) > LARGEST:
        raise VocabularyError(f"{file}: larger than {LARGEST >> 20} MiB: are these words?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{file}: not UTF-8 ({error.reason}); save it as UTF-8") from None


def _replace(folder: int, name: str, text: str) -> None:
    """Write `text` to the file `name` in an opened folder, for the folder's owner alone; at once or not at all."""
    beside = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            owner = os.fstat(folder)
            if owner.st_uid != os.fstat(descriptor).st_uid:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=folder)
        raise
    os.fsync(folder)


@contextmanager
def _alone(file: Path) -> Iterator[int]:
    """One change at a time: a lock on the folder, whose descriptor it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)

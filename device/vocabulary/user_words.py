"""The user's own words: a small file, one word or name a line, and what it sounds like if that is not obvious.

A line that is wrong is named and left out; the others count.

>>> words = parse("# mine\\nXiaoming\\tshao ming\\nNew York\\n").words
>>> words[0]
UserWord(written='Xiaoming', sounds_like='shao ming')
>>> spellings(words)["xiaoming"], spellings(words)["new york"], spellings(words)["new_york"]
('Xiaoming', 'New York', 'New York')
>>> lexicon(words, lambda word: list(word))[0]
('xiaoming', ('s', 'h', 'a', 'o', 'm', 'i', 'n', 'g'))
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import logging
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle
from models.errors import UserError

log = logging.getLogger(__name__)

LARGEST = 1 << 20
"""Bytes of the file."""

Pronounce = Callable[[str], Sequence[str]]
"""One lower-case word to the acoustic model's tokens; raises ValueError when it cannot be read."""


@dataclass(frozen=True, slots=True)
class UserWord:
    """How something is written, and words that sound like it (empty: like its own letters)."""

    written: str
    sounds_like: str = ""

    @property
    def spoken_form(self) -> str:
        """What the recogniser calls it: lower case, without spaces."""
        return spoken_form(self.written)

    @property
    def line(self) -> str:
        """Its line in the file."""
        return f"{self.written}\t{self.sounds_like}\n" if self.sounds_like else f"{self.written}\n"


@dataclass(frozen=True, slots=True)
class Parsed:
    """The words of a file, and a line of text for each of its lines that is no word."""

    words: tuple[UserWord, ...] = ()
    faults: tuple[str, ...] = ()


class VocabularyError(UserError):
    """A word or a line of the file cannot be used; the message says which and why."""


def spoken_form(written: str) -> str:
    """What the recogniser calls a word: lower case, composed (NFC), without spaces.

    >>> spoken_form("New  York") == spoken_form("new york"), spoken_form("Cafe\u0301") == spoken_form("café")
    (True, True)
    """
    return "_".join(unicodedata.normalize("NFC", written).lower().split())


def word(written: str, sounds_like: str = "") -> UserWord:
    """A checked word. Raises :class:`VocabularyError`."""
    written, sounds_like = unicodedata.normalize("NFC", written), unicodedata.normalize("NFC", sounds_like)
    written, sounds_like = " ".join(written.split()), " ".join(sounds_like.lower().split())
    if any(0xDC80 <= ord(char) <= 0xDCFF for char in written + sounds_like):
        raise VocabularyError(f"{_shown(written)}: is not UTF-8; save the file as UTF-8")
    if not written or written.startswith("#") or not any(map(str.isalnum, written)):
        raise VocabularyError(f"{written!r}: a word needs a letter or digit and does not begin with #")
    if any(unicodedata.category(char).startswith("C") for char in written + sounds_like):
        raise VocabularyError(f"{written!r}: has a control character; type it without")
    wrong = [char for char in sounds_like if not (char.isalpha() or char in "' ")]
    if wrong:
        raise VocabularyError(f"{sounds_like!r}: sounds-like has {wrong[0]!r}; spell it in letters, as words")
    return UserWord(written, sounds_like)


def parse(text: str, name: str = "words") -> Parsed:
    """The words of a file's text: written form, then perhaps a tab and what it sounds like; # is a comment."""
    words: list[UserWord] = []
    faults: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        written, _, sounds_like = line.partition("\t")
        try:
            words.append(word(written, sounds_like))
        except VocabularyError as error:
            faults.append(f"{name}:{number}: {error}")
    return Parsed(tuple(words), tuple(faults))


def load(file: Path) -> Parsed:
    """The words of a file; none if there is no file. Raises OSError."""
    return parse(_text(file), str(file))


def add(file: Path, new: UserWord) -> tuple[UserWord, ...] | None:
    """Put a word into the file; return the words of the same name that it takes the place of.

    None: it is there already. A word that is added without `sounds_like` keeps the one that it had. Lines that are
    wrong stay as they are. The file changes at once or not at all.
    """
    with _alone(file) as folder:
        text = _text(file, folder)
        known = tuple(each for each in parse(text).words if each.spoken_form == new.spoken_form)
        if new in known or (not new.sounds_like and new.written in {each.written for each in known}):
            return None
        if not new.sounds_like and len(known) == 1:
            new = UserWord(new.written, known[0].sounds_like)
        kept = [line for line in text.split("\n") if not _is_for(line, new.spoken_form)]
        text = "\n".join(kept) if known else text
        _replace(folder, file.name, text + ("\n" if text and not text.endswith("\n") else "") + new.line)
        return known


def remove(file: Path, written: str) -> int:
    """Remove every line for `written`, in capitals or not; return how many there were. The others stay as they are."""
    with _alone(file) as folder:
        lines = _text(file, folder).split("\n")
        kept = [line for line in lines if not _is_for(line, spoken_form(written))]
        if len(kept) < len(lines):
            _replace(folder, file.name, "\n".join(kept))
        return len(lines) - len(kept)


class Watched:
    """Reads the file again when it has changed, so that a word is known without a restart.

    >>> Watched(Path("/nonexistent/words.tsv")).read()
    Parsed(words=(), faults=())
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: tuple[int, ...] | None = None
        self._parsed = Parsed()

    def read(self) -> Parsed:
        """The words and the faults now. Raises OSError, each time until the file can be read."""
        try:
            now = self.file.lstat()
            seen: tuple[int, ...] = (now.st_ino, now.st_mtime_ns, now.st_size)
        except FileNotFoundError:
            seen = ()
        if seen != self._seen:
            self._parsed = load(self.file)
            self._seen = seen
        return self._parsed


def spellings(words: Iterable[UserWord]) -> dict[str, str]:
    """What is recognised, as one word or several, to how it is written; for
    :func:`device.text.formatter.rules_from`.
    """
    found: dict[str, str] = {}
    for each in words:
        found[each.spoken_form] = each.written
        found[each.written.lower()] = each.written
    return found


def lexicon(words: Iterable[UserWord], pronounce: Pronounce) -> list[tuple[str, tuple[str, ...]]]:
    """What the recogniser calls each word, and its tokens. Raises :class:`VocabularyError` naming the word."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for each in words:
        said = (each.sounds_like or each.written.lower()).replace("-", " ").split()
        try:
            tokens = tuple(token for part in said for token in pronounce(part))
        except (ValueError, UserError) as error:
            hint = "" if each.sounds_like else "; say how with --sounds-like"
            raise VocabularyError(f"{each.written}: {error}{hint}") from None
        found.append((each.spoken_form, tokens))
    return found


def spelled_out(word: str) -> Sequence[str]:
    """The letters of a word, where no bundle can tell how it sounds. Raises ValueError for one that is not Latin.

    >>> spelled_out("Zoë")
    ['z', 'o', 'ë']
    """
    for char in word:
        if char != "'" and not unicodedata.name(char, "").startswith("LATIN"):
            raise ValueError(f"{char!r} is no letter of the Latin alphabet")
    return list(word.lower())


def _is_for(line: str, name: str) -> bool:
    """Whether a line of the file is for the word that the recogniser calls `name`."""
    return not line.startswith("#") and bool(line.strip()) and spoken_form(line.partition("\t")[0]) == name


def _shown(text: str) -> str:
    """Text with bytes that are no UTF-8, for a message."""
    return repr(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def _text(file: Path, folder: int | None = None) -> str:
    """The file's text without a byte-order mark, empty if there is none; `folder` is its folder, opened before.

    Bytes that are no UTF-8 become lone surrogates, to be written back.

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
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").replace("\r\n", "\n")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _replace(folder: int, name: str, text: str) -> None:
    """Write `text` to the file `name` in an opened folder, for the folder's owner alone; at once or not at all."""
    beside = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
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


Spelled = tuple[tuple[str, tuple[int, ...]], ...]
"""Words as the recogniser calls them, each with its sounds as indices of the bundle's tokens."""


def own_words(words: Iterable[UserWord], bundle: Bundle) -> Spelled:
    """`words` for the recogniser of `bundle`; none, and a line in the log, where it knows no pronunciations."""
    wanted = tuple(words)
    if not wanted:
        return ()
    try:
        return spelled(wanted, pronouncer(bundle), bundle.tokens())
    except UserError as error:
        log.warning("%s", error)
        return ()


def pronouncer(bundle: Bundle) -> Pronounce:
    """What knows how words sound to the bundle's acoustic model. Raises UserError where it has none."""
    from device.vocabulary.g2p import Pronouncer

    roles = ("g2p_encoder", "g2p_decoder", "g2p_vocab")
    if not all(bundle.has(role) for role in roles):
        raise UserError("the bundle knows no pronunciations, so no words can be added; build it again")
    return Pronouncer(*(bundle.path(role) for role in roles))


def spelled(words: Iterable[UserWord], pronounce: Pronounce, tokens: Sequence[str]) -> Spelled:
    """Each word as the recogniser calls it, and its sounds as indices of `tokens`.

    A word that cannot be pronounced is left out and named in the log: it must not keep the others from being heard.
    """
    index = {token: i for i, token in enumerate(tokens)}
    found = []
    for each in words:
        try:
            ((spoken_form, sounds),) = lexicon([each], pronounce)
            found.append((spoken_form, tuple(index[sound] for sound in sounds)))
        except VocabularyError as error:
            log.warning("%s", error)
        except KeyError as error:
            log.warning("%s: has the sound %s, which the acoustic model has not", each.written, error)
    return tuple(found)

"""The user's own words as the bundle's acoustic model hears them.

>>> from device.vocabulary import word
>>> spelled([word("Abba"), word("Zoe")], list, ["a", "b"])
(('abba', (0, 1, 1, 0)),)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from device.vocabulary import Pronounce, VocabularyError, Word, lexicon
from models.bundle import Bundle
from models.errors import UserError

log = logging.getLogger(__name__)

Spelled = tuple[tuple[str, tuple[int, ...]], ...]
"""Words as the recogniser calls them, each with its sounds as indices of the bundle's tokens."""


def own_words(words: Iterable[Word], bundle: Bundle) -> Spelled:
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
    from device.pronounce import Pronouncer

    roles = ("g2p_encoder", "g2p_decoder", "g2p_vocab")
    if not all(bundle.has(role) for role in roles):
        raise UserError("the bundle knows no pronunciations, so no words can be added; build it again")
    return Pronouncer(*(bundle.path(role) for role in roles))


def spelled(words: Iterable[Word], pronounce: Pronounce, tokens: Sequence[str]) -> Spelled:
    """Each word as the recogniser calls it, and its sounds as indices of `tokens`.

    A word that cannot be pronounced is left out and named in the log: it must not keep the others from being heard.
    """
    index = {token: i for i, token in enumerate(tokens)}
    found = []
    for each in words:
        try:
            ((heard, sounds),) = lexicon([each], pronounce)
            found.append((heard, tuple(index[sound] for sound in sounds)))
        except VocabularyError as error:
            log.warning("%s", error)
        except KeyError as error:
            log.warning("%s: has the sound %s, which the acoustic model has not", each.written, error)
    return tuple(found)

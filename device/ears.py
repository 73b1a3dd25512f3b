"""The recogniser as configured, with the user's own words, for the appliance.

from device.config import Config

ears = open_ears(Config(), words=())
ears.listener.accept(samples)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from device import assemble
from device.config import Config
from device.parts import Ears
from device.recognizer import Endpointing
from device.vocabulary import Pronounce, VocabularyError, Word, lexicon
from models.bundle import Bundle
from models.errors import UserError

log = logging.getLogger(__name__)


def open_ears(settings: Config, words: tuple[Word, ...]) -> Ears:
    """Load the configured bundle to hear live. Raises UserError."""
    wanted = settings.recognizer
    bundle = Bundle.open(settings.bundle.dir)
    ears = assemble.recognizer(
        bundle,
        wanted.backend,
        wanted.threads,
        live=True,
        endpointing=Endpointing(pause=wanted.endpoint_silence_ms / 1_000, limit=wanted.max_segment_s),
        search=replace(bundle.description.search, beam=wanted.beam) if wanted.beam else None,
        words=_own(words, bundle),
    )

    def on_cpu() -> str:
        slower = wanted.backend != "cpu" and ears.accelerator.name.startswith("cpu")
        return "running on the CPU" if slower else ""

    return Ears(ears.recognizer, on_cpu, ears.accelerator.close)


def pronouncer(bundle: Bundle) -> Pronounce:
    """What knows how words sound to the bundle's acoustic model. Raises UserError where it has none."""
    from device.pronounce import Pronouncer  # onnxruntime is not needed without words of the user's own

    roles = ("g2p_encoder", "g2p_decoder", "g2p_vocab")
    if not all(bundle.has(role) for role in roles):
        raise UserError("the bundle knows no pronunciations, so no words can be added; build it again")
    return Pronouncer(*(bundle.path(role) for role in roles))


def spelled(
    words: Iterable[Word], pronounce: Pronounce, tokens: Sequence[str]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Each word as the recogniser calls it, and its sounds as indices of `tokens`.

    A word that cannot be pronounced is left out and named in the log: it must not keep the others from being heard.

    >>> from device.vocabulary import word
    >>> spelled([word("Abba"), word("Zoe")], list, ["a", "b"])
    (('abba', (0, 1, 1, 0)),)
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


def _own(words: tuple[Word, ...], bundle: Bundle) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if not words:
        return ()
    try:
        return spelled(words, pronouncer(bundle), bundle.tokens())
    except UserError as error:
        log.warning("%s", error)
        return ()

"""The pronouncer says what hama's own G2PModel says (golden file), and refuses what it cannot read."""

from pathlib import Path

import pytest

from device.vocabulary.g2p import Pronouncer, PronunciationError
from models.bundle import Bundle

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "data" / "pronunciations.tsv"  # written by hama 1.3.13, without its blanks
ROLES = ("g2p_encoder", "g2p_decoder", "g2p_vocab")


@pytest.fixture(scope="module")
def pronouncer(bundle: Path) -> Pronouncer:
    opened = Bundle.open(bundle)
    return Pronouncer(*(opened.path(role) for role in ROLES))


def test_agrees_with_hama(pronouncer: Pronouncer) -> None:
    golden = [line.split("\t") for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    said = pronouncer.batch([word for word, _ in golden])
    assert {w: " ".join(s) for (w, _), s in zip(golden, said, strict=True)} == dict(golden)


def test_one_word_sounds_as_in_a_batch(pronouncer: Pronouncer) -> None:
    assert pronouncer("To") == ["t", "oʊ"] == pronouncer.batch(["extraordinarily", "to"])[1]
    assert pronouncer.batch([]) == []


@pytest.mark.parametrize("word", ["", "c3po", "new york", "e-mail", "a" * 200, "\u0416"])
def test_says_what_it_cannot_read(pronouncer: Pronouncer, word: str) -> None:
    with pytest.raises(PronunciationError) as error:
        pronouncer(word)
    assert repr(word) in str(error.value)
    assert "\n" not in str(error.value)

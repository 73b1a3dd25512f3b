"""The pronouncer says what hama's own G2PModel says (golden file), and refuses what it cannot read."""

import importlib.util
from pathlib import Path

import pytest

from device.pronounce import Pronouncer, PronunciationError

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "pronunciations.tsv"  # written by hama 1.3.13, without its blanks
FILES = (("g2p_encoder.onnx", "encoder.onnx"), ("g2p_decoder.onnx", "decoder_step.onnx"), ("g2p_vocab.json",) * 2)


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    bundle = ROOT / "models" / "build" / "base"
    if all((bundle / name).exists() for name, _ in FILES):
        return Pronouncer(*(bundle / name for name, _ in FILES))
    spec = importlib.util.find_spec("hama")
    if spec is None or spec.origin is None:
        pytest.skip("no bundle is built and hama is not installed")
    return Pronouncer(*(Path(spec.origin).parent / "assets" / name for _, name in FILES))


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

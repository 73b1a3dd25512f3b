"""The search and its language model against flashlight-text and KenLM, on the base model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from flashlight_search import Flashlight
from kenlm_trie import MARKERS, Model, NGrams

from device.asr import factory
from device.asr.beam_search import Language
from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from models.bundle import Bundle

BASE = Path(__file__).parents[3] / "models" / "base" / "language.bin"
CALIBRATION = BASE.with_name("calibration.npz")


def kenlm(path: Path, sentences: list[list[str]]) -> list[list[float]]:
    words = Dictionary([*dict.fromkeys(word for sentence in sentences for word in sentence), "<unk>"])
    words.set_default_index(words.get_index("<unk>"))
    model, scores = KenLM(str(path), words), []
    for sentence in sentences:
        state, line = model.start(False), []
        for word in sentence:
            state, score = model.score(state, words.get_index(word))
            line.append(score)
        scores.append([*line, model.finish(state)[1]])
    return scores


def test_kenlm_reads_the_same_from_the_files_of_these_tests(tmp_path: Path) -> None:
    one: NGrams = {(w,): (-i / 7, -i / 9) for i, w in enumerate((*MARKERS, "a", "b", "c"), 1)}
    two: NGrams = {("a", "b"): (-0.5, -0.25), ("b", "c"): (-0.75, 0.0), ("<s>", "a"): (-0.1, 0.2), ("b", "a"): (-1, 0)}
    model = Model((one, two, {("a", "b", "c"): (-0.3, 0.0), ("<s>", "a", "b"): (-0.2, 0.0)}))
    sentences = [["a", "b", "c"], ["c", "b", "a", "b", "c"], ["b", "oops", "a"], []]
    wanted = [model.score(sentence) for sentence in sentences]
    for path in (model.arpa(tmp_path / "lm.arpa"), model.trie(tmp_path / "lm.bin")):
        for found, scores in zip(kenlm(path, sentences), wanted, strict=True):
            np.testing.assert_allclose(found, scores, atol=1e-5)


def test_the_base_model_scores_as_kenlm_says() -> None:
    """Quantised and with indexed pointers, which the files made here are not."""
    words = [word for word in MARKERS if word != "<unk>"]
    text = BASE.read_bytes()
    words += text[text.rfind(b"<unk>\0") :].decode().split("\0")[:-1]
    rng = np.random.default_rng(1)
    common = ["the", "of", "and", "to", "in", "a", "that", "is", "was", "it", "for", "on", "with", "he", "be"]
    sentences = [[*rng.choice(common, 12)] for _ in range(300)]
    sentences += [[words[i] for i in rng.integers(0, len(words), 8)] for _ in range(300)]
    sentences += [["she", "sells", "no", "such-word", "on", "the", "sea", "shore", "of", "the", "united", "states"]]
    language = Language(str(BASE))
    for sentence, scores in zip(sentences, kenlm(BASE, sentences), strict=True):
        np.testing.assert_allclose(language.score(sentence), scores, atol=1e-5)


def test_finds_what_flashlight_finds_or_better(bundle: Path) -> None:
    """On the committed windows of real speech. Flashlight keeps hypotheses apart that no longer differ in what is to
    come, so with as many of them it sees less."""
    opened = Bundle.open(bundle)
    encoder = Encoder(opened, factory.accelerators(opened, None, "cpu", 1)[0].accelerator)
    ours, flashlight, same = Decoder.of(opened), Flashlight(opened), 0
    windows = np.load(CALIBRATION)["log_mel"][:, : opened.window.frames].astype(np.float32)
    for window in windows:
        log_probs = encoder.head(encoder.hidden(window))
        wanted, at_least = flashlight(log_probs)
        ours.advance(log_probs)
        words, score = ours.close()
        assert score > at_least - 1e-2, (words, wanted)
        same += words == wanted
        assert words == wanted or score > at_least
    assert same >= 0.7 * len(windows)

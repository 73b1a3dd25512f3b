"""The committed language model and lexicon: they fit together, and the device."""

import hashlib
import json
from pathlib import Path

import pytest

from convert.words import language_model, lexicon

BASE = Path(__file__).resolve().parents[3] / "models" / "base"


def test_every_committed_word_has_a_pronunciation(tmp_path: Path) -> None:
    words = [word for word, _, _ in lexicon.read(BASE / "lexicon.tsv.gz")]
    built = language_model.build(BASE / "language.bin", tmp_path / "language.bin", words)
    assert built.read_bytes() == (BASE / "language.bin").read_bytes()
    assert len(set(words)) >= 60_000
    with pytest.raises(language_model.LanguageError, match=r"the lexicon has no 'the' \(1 in all\)"):
        language_model.build(BASE / "language.bin", tmp_path / "other", [w for w in words if w != "the"])
    assert not (tmp_path / "other").exists()


def test_committed_files_fit_the_device(tmp_path: Path) -> None:
    rows = lexicon.read(BASE / "lexicon.tsv.gz")
    tokens = sorted({token for _, _, spelling in rows for token in spelling})
    assert len(tokens) < 191
    packed = lexicon.build(BASE / "lexicon.tsv.gz", tokens, tmp_path / "lexicon.npz")
    assert packed.stat().st_size + (BASE / "language.bin").stat().st_size <= 25_000_000
    assert [s for _, s, _ in rows] == sorted((s for _, s, _ in rows), reverse=True)


def test_the_report_is_about_the_committed_files() -> None:
    report = json.loads((BASE / "language.json").read_text(encoding="utf-8"))
    for name, sha256 in report["sha256"].items():
        assert hashlib.sha256((BASE / name).read_bytes()).hexdigest() == sha256, name
    assert report["ngrams"][0] == len(language_model.vocabulary(BASE / "language.bin")) + len(language_model.MARKERS)

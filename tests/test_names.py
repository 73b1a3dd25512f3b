"""Names are the field's: none of the words that were given up, and one name for one class."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from device.config.schema import Config

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("device", "convert", "provisioning")

# What was said -> what the field says. Compared with whole names; those of PRIVATE also behind an underscore.
PRIVATE = {
    "heard",
    "voiced",
    "told",
    "complain",
    "say_once",
    "open_ears",
    "settle",
    "stranded",
    "gist",
    "lamp",
    "lamps",
}
CLASSES = {
    "Ears": "LoadedRecognizer, Pipeline",
    "Listener": "StreamingRecognizer",
    "Parts": "Dependencies",
    "Machine": "Environment",
    "Past": "SessionState",
    "Trouble": "OutputStatus",
    "Lost": "MicrophoneStatus",
    "End": "StopRequested",
    "Boost": "CpuGovernor",
    "Writer": "TextFormatter",
    "Spot": "CursorContext",
    "LineFiles": "JsonlLog",
    "Port": "HidGadget",
    "Lamp": "Led",
    "Lamps": "Leds",
    "Patient": "Operator",
    "Room": "LockedEnvironment",
}
FUNCTIONS = {
    "open_ears": "load_recognizer",
    "accept": "accept_waveform (sound), push (frames), advance (a search)",
    "note": "record_usage, remark",
    "show": "set_leds, format_value",
    "learn": "reload_vocabulary",
    "boost": "raise_governor",
    "complain": "try_optional, warn_once",
    "complaint": "warning",
    "complaints": "warnings",
    "say_once": "warn_once",
    "told": "what is told",
    "look": "run_checks, lookahead",
    "look_ahead": "lookahead",
    "keep": "committed",
    "settle": "commit",
    "sure": "committed",
    "heard": "decode_committed, speech_detected",
    "voiced": "is_speech",
    "take_back": "undo_last",
    "trouble": "output_status",
    "lamp": "led",
    "lamps": "leds",
    "lights": "leds",
    "lift": "conv1d_to_conv2d",
    "straighten": "fuse_transposes",
    "isolated": "run_in_subprocess",
    "stranded": "cpu_fallback",
    "put": "deliver, apply, upload",
    "take_away": "remove",
    "gist": "error_summary",
}
FIELDS = {
    "ears": "recognizer",
    "open_ears": "load_recognizer",
    "listener": "recognizer",
    "writer": "formatter",
    "boost": "governor",
    "show": "set_leds",
    "put": "deliver",
    "complaint": "warning",
    "complaints": "warnings",
    "look": "lookahead",
    "hurry": "soft_limit",
    "gap": "min_trailing_silence",
    "spot": "context",
    "lamp": "led",
    "lamps": "leds",
    "peers": "baselines",
    "patience_s": "host_timeout_s",
    "forget_s": "context_timeout_s",
    "THINKING": "FINALIZING",
}
CONSTANTS = {
    "LOOK_BEAM": "PARTIAL_BEAM",
    "IMPOSSIBLE": "LOG_PROB_FLOOR",
    "PEERS": "BASELINES",
    "ROOMS": "ENVIRONMENTS",
}
MODULES = {
    "ears": "recognizer",
    "numbers": "itn",
    "linefiles": "jsonl",
    "port": "hid_gadget",
    "lights": "leds",
    "lamps": "leds",
    "lenient": "skip_invalid",
    "lift": "conv2d",
    "isolated": "subprocess_runner",
    "layers": "sqnr",
    "evidence": "coverage",
    "put": "changes",
    "gist": "error_summary",
    "needs": "preflight",
    "cuts": "power_loss",
    "peers": "baselines",
}
KEYS = {name: FIELDS[name] for name in ("patience_s", "forget_s")}


def is_python(path: Path) -> bool:
    """A module, or a program without a suffix."""
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        line = file.readline()
    return line.startswith(b"#!") and b"python" in line


def sources(package: str) -> Iterator[Path]:
    for path in sorted((ROOT / package).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and is_python(path):
            yield path


def trees(package: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sources(package):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"), str(path))


def given_up(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, name, what to say) of each class, function, method, field and constant of a module."""
    for node in ast.walk(tree):
        found: list[tuple[str, dict[str, str]]] = []
        if isinstance(node, ast.ClassDef):
            found = [(node.name, CLASSES)]
            members = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
            members += [target for item in node.body if isinstance(item, ast.Assign) for target in item.targets]
            found += [(item.id, FIELDS) for item in members if isinstance(item, ast.Name)]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = [(node.name, FUNCTIONS)]
        elif isinstance(node, ast.Module):
            assigned = [target for item in node.body if isinstance(item, ast.Assign) for target in item.targets]
            found = [(item.id, CONSTANTS) for item in assigned if isinstance(item, ast.Name)]
        for name, words in found:
            plain = name.lstrip("_")
            if plain in words and (plain == name or plain in PRIVATE):
                yield getattr(node, "lineno", 0), name, words[plain]


def keys(kind: type[Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of the configuration, sections included."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        yield f"{prefix}{field.name}"
        if is_dataclass(hints[field.name]):
            yield from keys(hints[field.name], f"{prefix}{field.name}.")


def test_every_kind_of_name_is_looked_at() -> None:
    text = "THIS = 1\nPEERS = 2\nclass Ears:\n    boost: int = 0\n    THINKING = 1\n    def _heard(self): ...\n"
    assert [name for _, name, _ in given_up(ast.parse(text))] == ["PEERS", "Ears", "boost", "THINKING", "_heard"]
    assert {"sinks", "sinks.keyboard.host_timeout_s"} < set(keys(Config))
    assert {ROOT / "provisioning" / "flash", ROOT / "device" / "asr" / "decoder.py"} <= {
        *sources("provisioning"),
        *sources("device"),
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_was_given_up(package: str) -> None:
    wrong = []
    for path, tree in trees(package):
        if path.stem in MODULES:
            wrong.append(f"{path}: the module (say {MODULES[path.stem]})")
        wrong += [f"{path}:{line}: {name} (say {field})" for line, name, field in given_up(tree)]
    assert not wrong, "\n".join(wrong)


def test_no_configuration_key_was_given_up() -> None:
    wrong = [key for key in keys(Config) if key.rpartition(".")[2] in KEYS]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", PACKAGES)
def test_one_name_is_one_class(package: str) -> None:
    places: dict[str, list[str]] = {}
    for path, tree in trees(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path}:{node.lineno}")
    counts = Counter({name: len(found) for name, found in places.items()})
    wrong = [f"{name}: {', '.join(places[name])}" for name, count in counts.items() if count > 1]
    assert not wrong, "\n".join(wrong)

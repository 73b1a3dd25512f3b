"""Which package may import which, from the imports themselves, those inside functions included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"

# What a package of device/ may import of device/, beside itself. `cli` may import everything and nothing imports it.
# `config.schema` (the types of the settings) is open to all; the rest of `config`, which reads files, only where named.
DEVICE = {
    "app": {"asr", "audio", "output", "panel", "power", "text", "vocabulary", "system", "config"},
    "browser": {"asr", "text"},
    "bench": {"browser", "asr", "audio", "inference", "power", "system", "drawing", "diagnostics", "config"},
    "diagnostics": {"audio", "inference", "panel", "power", "system", "config"},
    "drawing": {"panel", "power", "config"},
    "web": {"output", "power", "vocabulary", "drawing", "diagnostics", "config"},
    "asr": {"inference"},
    "output": {"text"},
    "audio": set(),
    "config": set(),
    "inference": set(),
    "panel": set(),
    "power": set(),
    "system": set(),
    "text": set(),
    "vocabulary": set(),
    "wyoming_asr": {"asr", "audio", "text"},
}

# Modules beside the packages: open to all, and they import nothing of device/.
BESIDE = {"device.quiet"}

# What is known of models/, the contract between convert/ and device/. `models` itself is where the repository's own
# models lie.
OPEN = {
    "models.errors",  # UserError: what a command prints as one line
    "models.python",  # starts child processes that import nothing from the working directory
    "models.terminal",  # lets no control characters reach a terminal
    "models.archives",  # unpacks archives safely
    "models.typed",  # parsed TOML or JSON into dataclasses
    "models.files",  # writes files whole or not at all
}
MODELS = {
    "device.app": {"models.bundle"},
    "device.asr": {
        "models",
        "models.bundle",
        "models.lexicon",
        "models.decoder_steps",
        "models.moonshine",
        "models.pieces",
        "models.tokenizer",
        "models.transformer_bundle",
    },
    "device.bench": {"models", "models.bundle", "models.transformer_bundle"},
    "device.browser": {"models.bundle"},
    "device.cli": {"models", "models.bundle", "models.transformer_bundle"},
    "device.config": {"models", "models.bundle"},
    "device.diagnostics": {"models.bundle", "models.transformer_bundle"},
    "device.vocabulary": {"models.bundle"},
    "device.web": {"models.bundle"},
    "convert": {
        "models",
        "models.bundle",
        "models.download",
        "models.lexicon",
        "models.manifest",
        # The contract of a transformer's bundle: its float parts, the int8 pieces, the decoder, the bundle itself.
        "models.decoder_steps",
        "models.moonshine",
        "models.pieces",
        "models.tokenizer",
        "models.transformer_bundle",
    },
}

# Arrows that are against the rules, each with its reason. An exception that is no longer needed fails the test.
EXCEPTIONS = {
    (
        "device.diagnostics.machine",
        "device.output.hid_gadget",
    ): "`dictate doctor` asks if the gadget is a keyboard",
}


def modules(top: str) -> dict[str, Path]:
    """Dotted name -> file of each module below the package `top`."""
    found = {}
    for path in sorted((ROOT / top).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of `known` that a file imports, anywhere in it; a package only where nothing in it is what is wanted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                found |= {dotted if dotted in known else node.module} & known.keys()
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, Path]:
    return {name: path for top in ("device", "convert", "models") for name, path in modules(top).items()}


@pytest.fixture(scope="module")
def arrows(known: dict[str, Path]) -> list[tuple[str, str]]:
    """(module, module that it imports), of all of device/, convert/ and models/."""
    return [(name, other) for name, path in known.items() for other in sorted(imported(path, known))]


def forbidden(arrows: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Arrows inside of device/ that DEVICE does not have."""
    for module, other in arrows:
        if not (module.startswith("device.") and other.startswith("device.")):
            continue
        package, target = module.split(".")[1], other.split(".")[1]
        if package in (target, "cli") or other == "device.config.schema" or other in BESIDE:
            continue
        if target not in DEVICE.get(package, ()):
            yield module, other


def test_every_package_of_the_device_has_its_rule(known: dict[str, Path]) -> None:
    packages = {name.split(".")[1] for name in known if name.startswith("device.") and name.count(".") > 1}
    assert packages == {*DEVICE, "cli"}


def test_packages_of_the_device_import_only_what_they_may(arrows: list[tuple[str, str]]) -> None:
    found = set(forbidden(arrows))
    wrong = [f"{module} imports {other}" for module, other in sorted(found - EXCEPTIONS.keys())]
    assert not wrong, "against DEVICE in this file:\n" + "\n".join(wrong)
    assert found >= EXCEPTIONS.keys(), f"no longer needed: {sorted(EXCEPTIONS.keys() - found)}"


def is_command(path: Path) -> bool:
    """Whether a module reads a command line: it imports argparse and has a `main`."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return "argparse" in imports and any(
        isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
    )


def test_no_library_imports_a_command() -> None:
    """Commands parse, call a library and print. Only `dictate` itself and two-line programs import them."""
    known = {
        name: path for top in ("device", "convert", "models", "provisioning") for name, path in modules(top).items()
    }
    commands = {name for name, path in known.items() if is_command(path)}
    commands |= {name for name in known if name.startswith("device.cli.")} - {"device.cli.options"}
    assert {"device.cli", "convert.__main__", "provisioning.flasher.flash", "provisioning.environment"} <= commands
    wrong = [
        f"{name} imports {other}"
        for name, path in known.items()
        for other in sorted(imported(path, known) & commands)
        if not name.startswith("device.cli") and (name, other) != ("convert.build", "convert.__main__")
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_one_download() -> None:
    """And one place each for what it needs: limits, the SHA-256, the rename."""
    asks = {
        name
        for top in ("device", "convert", "models", "provisioning")
        for name, path in modules(top).items()
        if re.search(r"^\s*(import|from) urllib\.request\b", path.read_text(encoding="utf-8"), re.M)
    }
    assert asks == {"models.download"}


def test_the_halves_share_the_bundle_and_nothing_else(arrows: list[tuple[str, str]]) -> None:
    wrong = []
    for module, other in arrows:
        half, target = module.split(".")[0], other.split(".")[0]
        if module.startswith("models.training") or half == target:
            continue  # recipes, run by hand with everything at hand
        package = half if half == "convert" else ".".join(module.split(".")[:2])
        if half == "models" or target != "models" or other not in OPEN | MODELS.get(package, set()):
            wrong.append(f"{module} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_a_detour(arrows: list[tuple[str, str]]) -> None:
    graph: dict[str, set[str]] = {}
    for module, other in arrows:
        graph.setdefault(module, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(error.args[1]))


def test_the_documentation_has_these_arrows() -> None:
    rows = re.findall(r"^\| `device\.(\w+)` \|[^|]*\| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    documented = {package: set(re.findall(r"`(\w+)`", allowed)) for package, allowed in rows if package != "cli"}
    assert documented == DEVICE


def test_the_documentation_has_every_thread_of_the_appliance(known: dict[str, Path]) -> None:
    """Each Thread(..., name="...") of the packages that `dictate run` is made of."""
    parts = ("app", "asr", "audio", "output", "panel", "power", "system", "text", "vocabulary")
    threads = {
        keyword.value.value
        for name, path in known.items()
        if name.startswith(tuple(f"device.{part}." for part in parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Thread")
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    text = PAGE.read_text(encoding="utf-8")
    documented = {*re.findall(r'thread "(\w+)"', text), *re.findall(r"thread `(\w+)`", text)}
    assert threads and documented == threads

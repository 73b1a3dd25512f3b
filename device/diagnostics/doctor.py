"""Everything that dictation needs, looked at group by group: what `dictate doctor` prints and the web page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from device.config.schema import Config
from device.diagnostics import edgetpu
from device.diagnostics.check import Check, CheckState, Operator
from device.diagnostics.machine import MACHINE, Group
from models.bundle import Bundle, BundleError
from models.transformer_bundle import TransformerBundle


def coral(settings: Config, operator: Operator | None) -> list[Check]:
    """The Coral's chain for the configured bundles; a bundle that cannot be opened is a fault of its own."""
    second, check = second_pass(settings)
    try:
        bundle = Bundle.open(settings.bundle.dir, verify=False)
    except BundleError as error:
        broken = Check("bundle", CheckState.BAD, *str(error).partition("; ")[::2])
        chain = edgetpu.coral_checks(settings.recognizer.backend, None)
        return [broken if each.name == broken.name else each for each in chain]
    own = bundle.optional("encoder_edgetpu")
    pieces = (
        [second.piece(name, True) for name in second.names] if second and second.description.edge_tpu.compiled else []
    )
    return [check, *edgetpu.coral_checks(settings.recognizer.backend, [own, *pieces] if own else pieces)]


def second_pass(settings: Config) -> tuple[TransformerBundle | None, Check]:
    """The bundle of the second pass, if it is wanted and can be opened, and how it stands with it."""
    name, mode = "second pass", settings.recognizer.mode
    if mode == "streaming":
        return None, Check(name, CheckState.GOOD, "not used: recognizer.mode is streaming")
    try:
        bundle = TransformerBundle.open(settings.bundle.second_pass, verify=False)
    except BundleError as error:
        detail, _, advice = str(error).partition("; ")
        return None, Check(name, CheckState.NOTE, f"{detail}: the text is that of the first pass", advice)
    where = "compiled for the Edge TPU" if bundle.description.edge_tpu.compiled else "for the CPU"
    return bundle, Check(name, CheckState.GOOD, f"{bundle.description.name}, mode {mode}, {where}")


GROUPS: dict[str, Group] = {**MACHINE, "Coral": coral}
"""What is looked at, group by group; a group that fails to look is no reason to leave out the next."""


def run_checks(settings: Config, operator: Operator | None = None) -> Iterator[tuple[str, list[Check]]]:
    """Each group's title and checks, done when they are asked for; `operator` answers what only a person can."""
    for title, checks in GROUPS.items():
        try:
            yield title, list(checks(settings, operator))
        except Exception as error:
            yield title, [Check(title, CheckState.BAD, f"could not be looked at: {type(error).__name__}: {error}")]


def rows(found: Mapping[str, Sequence[Check]]) -> dict[str, list[dict[str, str]]]:
    """The checks of each group as JSON has them."""
    return {
        title: [asdict(check) | {"state": check.state.value} for check in checks] for title, checks in found.items()
    }

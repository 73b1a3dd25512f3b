"""Real PortAudio on a virtual ALSA sound card, compiled once for the run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class SoundCard:
    """Handles of a virtual microphone: what it hears and how to break it."""

    source: Path
    control: Path

    def unplug(self) -> None:
        (self.control / "unplugged").touch()

    def plug_in(self) -> None:
        (self.control / "unplugged").unlink()

    def overrun(self) -> None:
        (self.control / "overrun").touch()


@pytest.fixture(scope="session")
def alsa_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("alsa") / "libasound_module_pcm_virtual_microphone.so"
    code = Path(__file__).parent / "alsa" / "virtual_microphone.c"
    flags = ["-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-DPIC", "-shared"]
    subprocess.run(["gcc", *flags, "-o", library, code, "-lasound"], check=True)
    return library


@pytest.fixture
def sound_card(alsa_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SoundCard]:
    """Make a sound card hear `samples`, [n] or [n, channels], at `rate`, its clock running `speed` times too fast."""

    def make(
        samples: np.ndarray, rate: int = 16_000, speed: int = 1, names: Iterable[str] = ("Virtual mic",)
    ) -> SoundCard:
        card = SoundCard(tmp_path / "heard.raw", tmp_path / "control")
        samples.astype("<i2").tofile(card.source)
        card.control.mkdir()
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        config = tmp_path / "asound.conf"
        config.write_text(
            f'pcm_type.virtual_microphone {{ lib "{alsa_plugin}" }}\n'
            "pcm.default { type null }\n"
            + "".join(
                f'pcm."{name}" {{ type virtual_microphone source "{card.source}" rate {rate} '
                f'channels {channels} speed {speed} control "{card.control}" }}\n'
                for name in names
            )
        )
        monkeypatch.setenv("ALSA_CONFIG_PATH", str(config))
        return card

    return make

"""The recogniser as configured, with the user's own words, for the appliance.

from device.config.schema import Config

ears = open_ears(Config(), words=())
ears.listener.accept(samples)
"""

from __future__ import annotations

from dataclasses import replace

from device.app.ports import Ears
from device.asr import factory
from device.asr.endpointing import Endpointing
from device.config.schema import Config
from device.vocabulary.user_words import Word, own_words
from models.bundle import Bundle


def open_ears(settings: Config, words: tuple[Word, ...]) -> Ears:
    """Load the configured bundle to hear live. Raises UserError."""
    wanted = settings.recognizer
    bundle = Bundle.open(settings.bundle.dir)
    ears = factory.recognizer(
        bundle,
        wanted.backend,
        wanted.threads,
        live=True,
        endpointing=Endpointing(pause=wanted.endpoint_silence_ms / 1_000, limit=wanted.max_segment_s),
        search=replace(bundle.description.search, beam=wanted.beam) if wanted.beam else None,
        words=own_words(words, bundle),
    )

    def on_cpu() -> str:
        """Something to say only if a Coral was asked for, or there is one that does not work."""
        if wanted.backend == "cpu" or not ears.accelerator.name.startswith("cpu"):
            return ""
        missed = wanted.backend == "coral" or getattr(ears.accelerator, "missed", ears.degraded)
        return "running on the CPU" if missed else ""

    return Ears(ears.recognizer, on_cpu, ears.accelerator.close)

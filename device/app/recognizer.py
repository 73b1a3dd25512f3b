"""The recogniser as configured, with the user's own words, for the appliance.

from device.config.schema import Config

loaded = load_recognizer(Config(), words=())
loaded.recognizer.accept_waveform(samples)
"""

from __future__ import annotations

import logging
from dataclasses import replace

from device.app.ports import LoadedRecognizer
from device.asr import factory
from device.asr.endpointing import Endpointing
from device.config.schema import Config
from device.vocabulary.user_words import UserWord, own_words
from models.bundle import Bundle

log = logging.getLogger(__name__)


def load_recognizer(settings: Config, words: tuple[UserWord, ...]) -> LoadedRecognizer:
    """Load the configured bundle to hear live. Raises UserError."""
    wanted = settings.recognizer
    bundle = Bundle.open(settings.bundle.dir)
    second = factory.second_pass(wanted.mode, settings.bundle.second_pass, wanted.effort, log.warning)
    pipeline = factory.recognizer(
        bundle,
        wanted.backend,
        wanted.threads,
        live=True,
        endpointing=Endpointing(trailing_silence=wanted.endpoint_silence_ms / 1_000, max_segment=wanted.max_segment_s),
        search=replace(bundle.description.search, beam=wanted.beam) if wanted.beam else None,
        words=own_words(words, bundle),
        second=replace(second, words=tuple(word.written for word in words)) if second else None,
        background=True,
    )

    def on_cpu() -> str:
        """Something to say only if a Coral was asked for, or there is one that does not work."""
        if wanted.backend == "cpu" or not pipeline.accelerator.name.startswith("cpu"):
            return ""
        missed = wanted.backend == "coral" or getattr(pipeline.accelerator, "missed", pipeline.degraded)
        return "running on the CPU" if missed else ""

    return LoadedRecognizer(pipeline.recognizer, on_cpu, pipeline.accelerator.close)

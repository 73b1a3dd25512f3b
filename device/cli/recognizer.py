"""The recogniser of a command that is given options for it, and not a configuration."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from device.asr import factory
from device.asr.recognizer import Stage
from device.config import schema
from device.vocabulary.user_words import UserWord, own_words
from models.bundle import Bundle


def load_recognizer(
    arguments: argparse.Namespace,
    command: str,
    folders: schema.BundleSettings,
    stage: Stage = lambda name: nullcontext(),
    words: tuple[UserWord, ...] = (),
    word_times: bool = False,
) -> tuple[factory.Pipeline, dict[str, Any]]:
    """What the options of `options.add_recognizer_options` ask for, and what a report says of it.

    What is less than was asked for is said on standard error.
    """

    def warn(line: str) -> None:
        print(f"dictate {command}: {line}", file=sys.stderr, flush=True)

    bundle = Bundle.open(folders.dir)
    folder = arguments.second_pass or folders.second_pass
    second = factory.second_pass(arguments.mode, folder, arguments.effort, warn)
    pipeline = factory.recognizer(
        bundle,
        arguments.backend,
        arguments.threads,
        arguments.live,
        words=own_words(words, bundle),
        stage=stage,
        second=replace(second, words=tuple(word.written for word in words)) if second else None,
        word_times=word_times,
    )
    factory.say_backend(command, pipeline, arguments.backend)
    return pipeline, {
        "bundle": bundle.description.name,
        "mode": arguments.mode if second else "streaming",
        "second_pass": second.bundle.description.name if second else None,
        "effort": arguments.effort if second else None,
        "live": arguments.live,
        "threads": arguments.threads,
    }

"""`dictate wyoming`: be a speech-to-text service for Home Assistant."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from typing import Any

from device import cli
from device.cli import options
from device.config.schema import Config
from models.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate wyoming`."""
    parser = subparsers.add_parser("wyoming", help="be a speech-to-text service for Home Assistant")
    options.add_options(parser)
    parser.add_argument(
        "--if-enabled", action="store_true", help="end at once unless wyoming.enabled is true; for the systemd unit"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    loaded, wrong = options.load_skipping_invalid(args) if args.if_enabled else (options.load_from(args), ())
    for line in wrong:
        logging.getLogger(__name__).warning("%s", line)
    if args.if_enabled and not loaded.config.wyoming.enabled:
        print("dictate wyoming: off: wyoming.enabled is false")
        return cli.DONE
    try:
        asyncio.run(_serve(loaded.config))
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'coral-dictation[wyoming]'") from error
    return cli.DONE


async def _serve(config: Config) -> None:
    from device.app.recognizer import load_recognizer
    from device.text.formatter import rules_from
    from device.vocabulary.user_words import load, spellings
    from device.wyoming_asr.server import Service, serving

    known = load(config.vocabulary.file)
    for fault in known.faults:
        logging.getLogger(__name__).warning("%s", fault)
    pipeline = load_recognizer(config, known.words)
    rules = rules_from(config.text, spellings(known.words))
    service = Service(pipeline.recognizer, rules, config.bundle.dir.name, cli.version())
    try:
        async with serving(service, config.wyoming.address, config.wyoming.port) as port:
            await _until_stopped(config, port)
    finally:
        pipeline.close()


async def _until_stopped(config: Config, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"dictate wyoming: listening on {config.wyoming.address} port {port}", flush=True)
    async with AsyncExitStack() as announcement:
        if config.wyoming.announce:
            from device.wyoming_asr.discovery import announced

            try:
                await announcement.enter_async_context(announced(config.wyoming.address, port, config.system.hostname))
            except OSError as error:
                log = logging.getLogger(__name__)
                log.warning("not announced in the network (%s); give Home Assistant the address", error)
        await stop.wait()

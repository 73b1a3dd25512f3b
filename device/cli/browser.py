"""`dictate browser`: the acoustic model in a web browser, on its GPU."""

from __future__ import annotations

import argparse
import functools
import logging
import threading
import webbrowser
from pathlib import Path
from typing import Any

from device import cli
from device.cli import argument_types, options
from device.config.bundle_folder import comparison_of
from models.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate browser`."""
    parser = subparsers.add_parser("browser", help="a page on this computer that runs the acoustic model on WebGPU")
    options.add_options(parser)
    parser.add_argument("--port", type=argument_types.port, default=0, help="of 127.0.0.1 (default: any that is free)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser of this session")
    parser.add_argument(
        "--comparison",
        type=Path,
        metavar="DIR",
        help="what `convert/build.py --comparison` wrote (default: BUNDLE-comparison)",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from device.asr.decoder import Decoder
    from device.text.formatter import rules_from
    from device.vocabulary.user_words import load, own_words, spellings
    from models.bundle import Bundle

    try:
        from device.browser.server import Files, serving
        from device.browser.work import transcribe
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'coral-dictation[browser]'") from error
    logging.basicConfig(level=logging.INFO, format="dictate browser: %(message)s")
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    config = options.load_from(args).config
    root = config.bundle.dir
    bundle = Bundle.open(args.comparison or comparison_of(root))
    words = load(config.vocabulary.file).words
    work = functools.partial(
        transcribe, bundle, Decoder.of(bundle, own_words(words, bundle)), rules_from(config.text, spellings(words))
    )
    with serving(Files.of(bundle), work, args.port) as address:
        print(f"open {address} in a browser on this computer; Ctrl-C ends", flush=True)
        if args.open:
            webbrowser.open(address)
        threading.Event().wait()
    return cli.DONE

"""`dictate web`: the address of the page with its token; `serve` serves the page, `answer` does what it asks for."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.cli import options
from device.config import validators
from device.config.schema import USB_ADDRESS, Config
from device.system import boot_config
from device.system.sd_notify import Notifier
from models.errors import UserError

if TYPE_CHECKING:
    from device.web.server import Ask

RUNTIME = Path("/run/dictate-web")
"""systemd's RuntimeDirectory= of dictate-web.service."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate web`."""
    parser = subparsers.add_parser("web", help="the page in a browser: its address with the token")
    options.add_options(parser)
    parser.add_argument(
        "--token-file", type=Path, default=RUNTIME / "token", metavar="FILE", help=f"default: {RUNTIME / 'token'}"
    )
    parser.add_argument("--qr", action="store_true", help="also print the first address as a QR code")
    parser.set_defaults(run=_address)
    actions = parser.add_subparsers(metavar="ACTION")
    serve = actions.add_parser("serve", help="serve the page; dictate-web.service runs it")
    options.add_options(serve)
    serve.set_defaults(run=_serve)
    answer = actions.add_parser("answer", help="one request of the page, from standard input; for systemd")
    options.add_options(answer)
    answer.set_defaults(run=_answer)
    token = actions.add_parser("token", help="print a new random token, for web.token on the card")
    token.set_defaults(run=_new_token)


def _address(args: argparse.Namespace) -> int:
    config = options.load_from(args).config
    _enabled(config)
    try:
        token = _given(config, os.environ) or _card() or args.token_file.read_text()
    except FileNotFoundError:
        raise UserError(f"{args.token_file}: missing; is dictate-web.service running?") from None
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; run as root") from None
    urls = list(_urls(config, token))
    print("\n".join(urls))
    if args.qr:
        _print_qr(urls[0])
    return 0


def _serve(args: argparse.Namespace) -> int:
    loaded, wrong = options.load_skipping_invalid(args)
    config = loaded.config
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for line in wrong:
        logging.warning("%s", line)
    _enabled(config)
    try:
        from device.web import server
    except ImportError as error:
        raise UserError(f"{error}; install coral-dictation[web]") from None
    token = _given(config, os.environ) or _new(os.environ)
    behind = config.web.operations
    ask = server.ask_socket(behind) if behind.exists() else _here(args)
    host = socket.gethostname()
    site = server.site_of(token, config.feed.socket, ask, config.web.port, ("localhost", host, f"{host}.local"))
    sockets = server.listen(_addresses(config), config.web.port)
    if "RUNTIME_DIRECTORY" not in os.environ:  # started by hand: the log is the terminal
        print("\n".join(_urls(config, token)), flush=True)
    server.serve(site, sockets, lambda: Notifier(os.environ).ready(f"on port {config.web.port}"))
    return 0


def _here(args: argparse.Namespace) -> Ask:
    """Operations in this process, where nothing separates it from the files: not started by systemd."""
    from device.web import operations
    from device.web.protocol import Answer

    source = operations.ConfigSource(options.file_of(args), tuple(args.set))

    async def ask(request: Mapping[str, Any]) -> Answer:
        return await asyncio.to_thread(operations.answer, request, source)

    return ask


def _answer(args: argparse.Namespace) -> int:
    from device.web import operations
    from device.web.protocol import LARGEST

    line = sys.stdin.buffer.readline(LARGEST + 1)
    sys.stdout.buffer.write(
        operations.answer_line(line, operations.ConfigSource(options.file_of(args), tuple(args.set)))
    )
    sys.stdout.buffer.flush()
    return 0


def _new_token(args: argparse.Namespace) -> int:
    from device.web.security import new_token

    print(new_token())
    return 0


def _enabled(config: Config) -> None:
    if not config.web.enabled:
        raise UserError("web.enabled = false: there is no page; set it to true")


def _given(config: Config, environ: Mapping[str, str]) -> str:
    """The token of the configuration; empty where it names none.

    The copy of the card's configuration has asterisks in its place: systemd hands it over as a credential.
    """
    texts = [config.web.token]
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        with contextlib.suppress(FileNotFoundError):
            texts.insert(0, Path(folder, "token").read_text().strip())
    return next((text for text in texts if re.fullmatch(validators.TOKEN_PATTERN, text)), "")


def _card() -> str:
    """The token of the card, which `dictate setup` kept for root; empty where the card names none."""
    file = Path("/") / boot_config.TOKEN
    return file.read_text().strip() if boot_config.applied() and file.exists() else ""


def _new(environ: Mapping[str, str]) -> str:
    """A new token, kept for `dictate web` where systemd gave a folder for it."""
    from device.web.security import new_token

    token = new_token()
    if folder := environ.get("RUNTIME_DIRECTORY"):
        file = Path(folder, "token")
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(token)
    return token


def _addresses(config: Config) -> list[str]:
    """Where to listen: for this machine, over the cable, and where the configuration says."""
    if config.web.address in ("0.0.0.0", "::"):
        return [config.web.address]
    found = ["127.0.0.1"]
    if config.web.usb and boot_config.applied():
        found.append(USB_ADDRESS)
    if config.web.address and config.web.address not in found:
        found.append(config.web.address)
    return found


def _urls(config: Config, token: str) -> Iterator[str]:
    """What to open, the address that another machine can reach first. What follows # is not sent to any server."""
    for address in reversed(_addresses(config)):
        name = socket.gethostname() if address in ("0.0.0.0", "::") else f"[{address}]" if ":" in address else address
        yield f"http://{name}:{config.web.port}/#token={token}"


def _print_qr(url: str) -> None:
    try:
        import segno
    except ImportError:
        raise UserError("--qr: the Python package segno is missing; install coral-dictation[web]") from None
    segno.make(url).terminal(compact=True)

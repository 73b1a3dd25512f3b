"""`dictate wyoming` as it is installed, asked by the protocol's own client; and what a bad client can do to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info

from device.bench.speech import TESTDATA

DICTATE = Path(sys.executable).with_name("dictate")
CLIP = TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav"
SAID = "he might even have been made amiable himself"


@contextmanager
def server(bundle: Path, words: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`dictate wyoming` on a port of the system's choice."""
    settings = [f"bundle.dir={bundle}", f"vocabulary.file={words}", "wyoming.address=127.0.0.1", "wyoming.port=0"]
    options = [f"--set={setting}" for setting in (*settings, "wyoming.announce=false", "recognizer.backend=cpu", *more)]
    child = subprocess.Popen(
        [DICTATE, "wyoming", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert "listening on 127.0.0.1 port " in line, child.communicate(timeout=30)
        yield child, int(line.rsplit(maxsplit=1)[1])
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=30)
        finally:
            child.kill()
            child.wait()


@pytest.fixture(scope="module")
def port(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with server(bundle, tmp_path_factory.mktemp("words") / "words.tsv") as (_, port):
        yield port


@asynccontextmanager
async def client(port: int) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=60) as connected:
        yield connected


async def send_speech(to: AsyncTcpClient, rate: int = 16_000, channels: int = 1, step: int = 1_600) -> None:
    """The clip as audio-start, chunks and audio-stop; at another rate by repeating samples."""
    sound, _ = soundfile.read(CLIP, dtype="int16")
    pcm = np.repeat(np.repeat(sound, rate // 16_000)[:, None], channels, axis=1)
    await to.write_event(AudioStart(rate, 2, channels).event())
    for begin in range(0, len(pcm), step):
        await to.write_event(AudioChunk(rate, 2, channels, pcm[begin : begin + step].tobytes()).event())
    await to.write_event(AudioStop().event())


async def answers(to: AsyncTcpClient, until: Callable[[str], bool]) -> list[Event]:
    """What the server says, up to the first event of a type."""
    said: list[Event] = []
    while not said or not until(said[-1].type):
        event = await to.read_event()
        assert event is not None, f"the server left after {[each.type for each in said]}"
        said.append(event)
    return said


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 120)

    asyncio.run(limited())


def text_of(events: list[Event]) -> str:
    (whole,) = [Transcript.from_event(event).text for event in events if Transcript.is_type(event.type)]
    return whole


def words(text: str) -> list[str]:
    return text.lower().replace(".", "").replace(",", "").split()


def test_it_describes_itself_as_english_speech_to_text(port: int) -> None:
    async def test() -> None:
        async with client(port) as to:
            await to.write_event(Describe().event())
            event = await to.read_event()
            assert event is not None and Info.is_type(event.type)
            (program,) = Info.from_event(event).asr
            assert program.installed and program.supports_transcript_streaming
            assert "en" in program.models[0].languages

    run(test)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2)])
def test_speech_comes_back_as_text_in_pieces_and_whole(port: int, rate: int, channels: int) -> None:
    async def test() -> None:
        async with client(port) as to:
            await to.write_event(Transcribe(language="en").event())
            await send_speech(to, rate, channels)
            said = await answers(to, TranscriptStop.is_type)
        kinds = [event.type for event in said]
        assert TranscriptStart.is_type(kinds[0]) and TranscriptChunk.is_type(kinds[1]) and Transcript.is_type(kinds[-2])
        pieces = [TranscriptChunk.from_event(event).text for event in said if TranscriptChunk.is_type(event.type)]
        assert "".join(pieces) == text_of(said)
        if rate == 16_000:
            assert words(text_of(said)) == SAID.split()

    run(test)


def test_two_utterances_of_one_client_and_two_clients_at_once(port: int) -> None:
    async def ask() -> list[str]:
        async with client(port) as to:
            heard = []
            for _ in range(2):
                await send_speech(to)
                heard.append(text_of(await answers(to, TranscriptStop.is_type)))
            return heard

    async def test() -> None:
        both = await asyncio.gather(ask(), ask())
        assert {tuple(words(text)) for heard in both for text in heard} == {tuple(SAID.split())}

    run(test)


def test_silence_is_an_empty_transcript(port: int) -> None:
    async def test() -> None:
        async with client(port) as to:
            await to.write_event(AudioStart(16_000, 2, 1).event())
            await to.write_event(AudioChunk(16_000, 2, 1, bytes(32_000)).event())
            await to.write_event(AudioStop().event())
            assert text_of(await answers(to, TranscriptStop.is_type)) == ""

    run(test)


@pytest.mark.parametrize("wanted", [Transcribe(language="de").event(), AudioStart(100, 2, 1).event()])
def test_what_cannot_be_recognised_is_refused_with_the_reason(port: int, wanted: Event) -> None:
    async def test() -> None:
        async with client(port) as to:
            await to.write_event(wanted)
            event = await to.read_event()
            assert event is not None and Error.is_type(event.type)
            assert "English only" in event.data["text"] or "100 Hz" in event.data["text"]
            assert await to.read_event() is None

    run(test)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"type": "audio-start"}\n',
        b'{"type": "audio-start", "data": {"rate": "x", "width": 2, "channels": 1}}\n',
        b'{"type": "describe", "data_length": -5}\n',
        b'{"type": "x", "data_length": 4}\nabcd',
        b"{" + b" " * 200_000 + b"}\n",
        json.dumps({"type": "audio-chunk", "data": {"rate": 0, "width": 0, "channels": 0}}).encode() + b"\n",
    ],
    ids=range(9),
)
def test_a_bad_client_harms_nobody_else(port: int, sent: bytes) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as bad:
        bad.sendall(sent)
        bad.shutdown(socket.SHUT_WR)
        while bad.recv(65_536):
            pass
    test_silence_is_an_empty_transcript(port)


def test_a_client_that_leaves_in_the_middle_gives_the_recogniser_back(port: int) -> None:
    async def test() -> None:
        async with client(port) as to:
            await to.write_event(AudioStart(16_000, 2, 1).event())
            event = await to.read_event()
            assert event is not None and TranscriptStart.is_type(event.type)
        async with client(port) as to:
            await send_speech(to)
            assert words(text_of(await answers(to, TranscriptStop.is_type))) == SAID.split()

    run(test)


def test_the_users_words_are_written_as_they_write_them(bundle: Path, tmp_path: Path) -> None:
    known = tmp_path / "words.tsv"
    add = [DICTATE, "words", "add", "Amiable", f"--set=vocabulary.file={known}", f"--set=bundle.dir={bundle}"]
    subprocess.run(add, check=True, capture_output=True)

    async def test() -> None:
        async with client(port) as to:
            await send_speech(to)
            assert "Amiable" in text_of(await answers(to, TranscriptStop.is_type))

    with server(bundle, known) as (_, port):
        run(test)


def test_it_is_off_unless_enabled_and_says_why_it_cannot_listen(bundle: Path, tmp_path: Path) -> None:
    off = subprocess.run([DICTATE, "wyoming", "--if-enabled"], capture_output=True, text=True)
    assert (off.returncode, off.stderr) == (0, "") and "wyoming.enabled" in off.stdout
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = [f"bundle.dir={bundle}", f"vocabulary.file={tmp_path}/w", f"wyoming.port={port}"]
        options = [
            f"--set={setting}" for setting in (*settings, "wyoming.address=127.0.0.1", "recognizer.mode=streaming")
        ]
        busy = subprocess.run([DICTATE, "wyoming", *options], capture_output=True, text=True)
    assert busy.returncode == 1 and busy.stderr.startswith("dictate wyoming: cannot listen on 127.0.0.1 port ")
    assert len(busy.stderr.splitlines()) == 1


def test_the_unit_reads_the_configuration_less_what_is_wrong_in_it(bundle: Path, tmp_path: Path) -> None:
    """It runs without --config, and must not stay off for a mistake elsewhere in the file."""
    own = tmp_path / "coral-dictation" / "dictation.toml"
    own.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own.write_text(
            f'[bundle]\ndir = "{bundle}"\n[text]\nnumbres = false\n'
            f'[wyoming]\nenabled = true\naddress = "127.0.0.1"\nport = {port}\n'
        )
        command = [DICTATE, "wyoming", "--if-enabled", "--set=recognizer.mode=streaming"]
        environ = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=environ)
    mistake, reason = done.stderr.splitlines()
    assert "text.numbres" in mistake
    assert done.returncode == 1 and f"cannot listen on 127.0.0.1 port {port}" in reason


def test_it_is_found_in_the_network_and_gone_when_it_ends(bundle: Path, tmp_path: Path) -> None:
    """Over loopback, where multicast DNS works as on any interface."""
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    async def test() -> None:
        zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
        try:
            name = "test-device._wyoming._tcp.local."
            info = AsyncServiceInfo("_wyoming._tcp.local.", name)
            assert await info.async_request(zeroconf.zeroconf, 20_000)
            assert info.port == port and info.parsed_addresses() == ["127.0.0.1"]
        finally:
            await zeroconf.async_close()

    with server(bundle, tmp_path / "w", "wyoming.announce=true", "system.hostname=test-device") as (_, port):
        run(test)

"""A Wyoming server for speech to text: describe, transcribe, and text while the speaker speaks.

The protocol is that of the `wyoming` package (JSON lines and PCM over TCP). There is one recogniser: a client has it
from audio-start to audio-stop, and other clients wait. One that sends nothing for PATIENCE_S in the middle of an
utterance is disconnected, so that it keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_read_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler

from device.asr.streaming import StreamingRecognizer
from device.text.formatter import Rules
from device.wyoming_asr.stream import FormatError, SpeechStream
from models.errors import UserError

log = logging.getLogger(__name__)

T = TypeVar("T")

LANGUAGES = ("en", "en-US", "en-GB", "en-AU", "en-CA", "en-IE", "en-IN", "en-NZ", "en-ZA")
PATIENCE_S = 30.0
LONGEST_S = 300.0
"""Seconds of one utterance that are recognised; what comes later is dropped."""


@dataclass(frozen=True, slots=True)
class Service:
    """The recogniser that all clients share, and how its words are written."""

    recognizer: StreamingRecognizer
    rules: Rules
    name: str
    """The model's name, for people."""
    version: str

    def info(self) -> Info:
        """What the server tells of itself."""
        author = Attribution("coral-dictation", "")
        model = AsrModel(self.name, author, True, "English speech to text, offline", self.version, list(LANGUAGES))
        program = AsrProgram(
            "coral-dictation",
            author,
            True,
            "Offline dictation on a Raspberry Pi and a Coral USB Accelerator",
            self.version,
            [model],
            supports_transcript_streaming=True,
        )
        return Info(asr=[program])


class Handler(AsyncEventHandler):
    """One client."""

    def __init__(
        self,
        service: Service,
        turn: asyncio.Lock,
        worker: ThreadPoolExecutor,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """`turn` is held by the client that has the recogniser; `worker`, of one thread, does what takes time."""
        super().__init__(reader, writer)
        self._service, self._turn, self._worker = service, turn, worker
        self._stream: SpeechStream | None = None
        self._seconds = 0.0
        self._sent = ""

    async def run(self) -> None:
        """Answer events until the client leaves, stalls, or sends what is not of the protocol."""
        try:
            while (event := await self._next()) is not None and await self.handle_event(event):
                pass
        except TimeoutError:
            log.warning("a client sent nothing for %.0f s in the middle of an utterance: disconnected", PATIENCE_S)
        except (ValueError, KeyError, TypeError, AttributeError, asyncio.IncompleteReadError) as error:
            log.warning("a client sent what is not of the Wyoming protocol (%s): disconnected", type(error).__name__)
        except ConnectionError:
            pass  # it has left
        finally:
            self._leave()
            self.writer.close()

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; False ends the connection. Events that are not for speech to text are passed over."""
        if Describe.is_type(event.type):
            await self._send(self._service.info())
        elif Ping.is_type(event.type):
            await self._send(Pong(text=Ping.from_event(event).text))
        elif Transcribe.is_type(event.type):
            return await self._check_request(Transcribe.from_event(event))
        elif AudioStart.is_type(event.type):
            return await self._begin(AudioStart.from_event(event))
        elif AudioChunk.is_type(event.type):
            await self._hear(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type):
            await self._end()
        return True

    async def _next(self) -> Event | None:
        waiting = async_read_event(self.reader)
        return await (waiting if self._stream is None else asyncio.wait_for(waiting, PATIENCE_S))

    async def _check_request(self, wanted: Transcribe) -> bool:
        if wanted.language and not wanted.language.lower().replace("_", "-").startswith("en"):
            return await self._refuse(f"language {wanted.language!r} is not known; this recogniser knows English only")
        return True

    async def _begin(self, start: AudioStart) -> bool:
        self._leave()
        await self._turn.acquire()
        try:
            self._stream = SpeechStream(
                self._service.recognizer, self._service.rules, start.rate, start.width, start.channels
            )
        except FormatError as error:
            self._turn.release()
            return await self._refuse(str(error))
        self._seconds, self._sent = 0.0, ""
        await self._send(TranscriptStart(language="en"))
        return True

    async def _hear(self, chunk: AudioChunk) -> None:
        self._seconds += chunk.seconds
        if self._stream is None or self._seconds > LONGEST_S:
            return
        await self._work(partial(self._stream.push, chunk.audio))
        await self._send_new(self._stream.text)

    async def _end(self) -> None:
        if self._stream is None:
            return
        text = await self._work(self._stream.finish)
        await self._send_new(text)
        self._leave()
        await self._send(Transcript(text=text, language="en"))
        await self._send(TranscriptStop())

    async def _send_new(self, text: str) -> None:
        """Send what has come to the text; a chunk cannot be taken back, so nothing while what was sent is not part."""
        if len(text) > len(self._sent) and text.startswith(self._sent):
            await self._send(TranscriptChunk(text=text[len(self._sent) :]))
            self._sent = text

    async def _refuse(self, why: str) -> bool:
        log.warning("a client was refused: %s", why)
        await self._send(Error(text=why))
        return False

    async def _send(self, message: Eventable) -> None:
        await self.write_event(message.event())

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def _leave(self) -> None:
        """Give the recogniser to whoever waits for it."""
        if self._stream is not None:
            self._stream = None
            self._turn.release()


@contextlib.asynccontextmanager
async def serving(service: Service, address: str, port: int) -> AsyncIterator[int]:
    """Serves while the block runs, and gives the port: that of the system's choice for 0. Raises UserError."""
    turn = asyncio.Lock()
    with ThreadPoolExecutor(1, thread_name_prefix="recognizer") as worker:
        clients: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            client = asyncio.current_task()
            assert client is not None
            clients.add(client)
            client.add_done_callback(clients.discard)
            await Handler(service, turn, worker, reader, writer).run()

        try:
            server = await asyncio.start_server(connected, address, port)
        except OSError as error:
            raise UserError(f"cannot listen on {address} port {port}: {error.strerror or error}") from error
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

"""Recordings to pieces of sound, and how each ends: through libsndfile, or ffmpeg for what that does not know.

with Source(Path("talk.flac")) as source:
    for piece in source:
        print(source.rate, piece.shape)
    print(source.problem)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from device.audio.recording import Extent, WithoutLength, extent, ogg_ends, outgrown
from device.quiet import only_lines
from models.errors import UserError

PIECE_S = 0.1
"""Seconds in a piece; at most this much is lost where a file breaks off."""

ESTIMATED = 0.98
"""The length of an MP3 may be an estimate; less than this share of it is too little."""


class AudioError(UserError):
    """A source of sound cannot be read; the message names it, the cause and what to do."""


class _StraightThrough(soundfile.SoundFile):  # type: ignore[misc]
    """A file read start to end: soundfile seeks after each read, and an MP3 decoder then loses sound."""

    def seekable(self) -> bool:
        return False


class Source:
    """An open recording; iterate it once. Raises AudioError, naming the file, if it is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._broken = ""
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._extent: Extent | None = None
        self._unwritten = False
        with ExitStack() as stack:
            self._probe()
            self._file = stack.enter_context(self._opened(stack))
            self._stack = stack.pop_all()
        self.rate: int = self._file.samplerate
        """Hz."""
        self.channels: int = self._file.channels

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Pieces of shape (n, channels), full scale ±1."""
        frames = max(1, round(self.rate * PIECE_S))
        mpg123 = self._file.format == "MP3"  # which prints what `problem` says
        while True:
            try:
                with only_lines(lambda line: False) if mpg123 else nullcontext():
                    piece: NDArray[np.float32] = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                self._broken = error.error_string.removeprefix("Error :").strip(" .") or "damaged or cut short"
                return
            if not len(piece):
                return
            self._read += len(piece)
            yield piece

    @property
    def seconds(self) -> float:
        """How long it should be by its header, for a display; 0 where that is not known."""
        frames = self._file.frames
        return float(frames / self.rate) if self._process is None and 0 < frames < 1 << 60 else 0.0

    @property
    def problem(self) -> str:
        """What was wrong with the end, once all was read; empty where it ended as it should."""
        read, whole = self._read / self.rate, self._whole
        where = f"at {read:.1f} s" + (f" of {whole:.1f} s" if whole > read else "")
        if self._process is not None and (said := self._ffmpeg_said()):
            return f"breaks off {where}: {said}"
        if self._broken:
            return f"breaks off {where}: {self._broken}"
        if not self._read:
            return "holds no sound; was the recording stopped before it began?"
        if self._unwritten:
            return f"its header gives a wrong length; the sound behind it was taken to its end at {read:.1f} s"
        if self._extent is not None and self._extent.cut:
            return f"cut short: ends {where}"
        if self._file.format == "OGG" and self._path.is_file():
            with self._path.open("rb") as stream:
                if not ogg_ends(stream):
                    return f"cut short: ends {where}, without an end mark"
        enough = ESTIMATED if self._file.format == "MP3" else 1.0
        if self._process is None and read < enough * whole:
            return f"cut short or damaged: only {read:.1f} s of {whole:.1f} s could be read"
        return ""

    @property
    def _whole(self) -> float:
        """Seconds that there should be, as far as the file says; 0 where it does not."""
        if self._extent is not None and self._extent.declared and self._extent.there:
            return self._read / self.rate * self._extent.declared / self._extent.there if self._extent.cut else 0.0
        return self.seconds

    def _probe(self) -> None:
        """Take from the header what libsndfile does not tell. Raises AudioError."""
        try:
            if self._path.is_dir():
                raise AudioError(f"{self._path}: is a folder; name the recordings in it")
            if not self._path.is_file():  # a pipe is read once
                return
            with self._path.open("rb") as stream:
                self._extent = extent(stream)
                self._unwritten = self._extent is not None and outgrown(stream, self._extent)
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be read: {error.strerror}") from None

    def _opened(self, stack: ExitStack) -> soundfile.SoundFile:
        if self._unwritten and self._extent is not None:
            stream = stack.enter_context(WithoutLength(self._path, self._extent.length_at))
            return _StraightThrough(stream)
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            raise AudioError(f"{self._path}: no such file; check the path") from None
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be read: {error.strerror}") from None
        try:
            with only_lines(lambda line: False):
                return _StraightThrough(descriptor, closefd=True)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.strip(" .")
        if self._path.is_file() and (ffmpeg := shutil.which("ffmpeg")):
            return self._through(ffmpeg, stack, reason)
        raise AudioError(
            f"{self._path}: not a recording that libsndfile reads ({reason}); install ffmpeg, "
            f"or convert it: ffmpeg -i {self._path.name} {self._path.stem}.flac"
        )

    def _through(self, ffmpeg: str, stack: ExitStack, reason: str) -> soundfile.SoundFile:
        """Have ffmpeg decode the file, which reads nothing but this file, whatever is in it."""
        self._log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        command = [ffmpeg, "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe", "-i", f"file:{self._path}"]
        self._process = stack.enter_context(
            subprocess.Popen(
                [*command, "-vn", "-f", "wav", "-c:a", "pcm_s16le", "pipe:1"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        )
        stack.callback(self._process.kill)
        assert self._process.stdout is not None
        try:
            return _StraightThrough(self._process.stdout.fileno(), closefd=False)
        except soundfile.LibsndfileError:
            said = self._ffmpeg_said() or "no sound in it"
            said = said.removeprefix(f"file:{self._path}: ")
            raise AudioError(
                f"{self._path}: not a recording that libsndfile ({reason}) or ffmpeg ({said}) reads; is it damaged?"
            ) from None

    def _ffmpeg_said(self) -> str:
        """The last line that ffmpeg printed, or that it failed; empty where all was well."""
        assert self._process is not None and self._log is not None
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return last or (f"ffmpeg ended with status {status}" if status else "")

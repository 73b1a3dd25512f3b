"""`dictate transcribe`: print or write what was said in recordings."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.asr.results import Event, Partial, Segment, joined
from device.audio.gather import Recording, gather
from device.cli import options
from device.cli.status_line import StatusLine
from device.text import formatter, subtitles
from device.text.edits import apply
from device.text.formatter import Rules, TextFormatter
from device.vocabulary import user_words
from device.vocabulary.user_words import UserWord
from models import files
from models.errors import UsageError, UserError

if TYPE_CHECKING:
    from device.asr import factory

ENDINGS = {"text": ".txt", "plain": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}
"""Of the files that --output writes, by format."""

STDIN = Path("-")

PARAGRAPH_S = 2.0
"""A pause this long begins a new paragraph in written text."""

LONG_S = 20.0
"""A recording of this length, or of one that is not known, has its progress shown."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate transcribe`."""
    parser = subparsers.add_parser("transcribe", help="print or write what was said in recordings")
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="WAV, FLAC, OGG or MP3 of any rate, others through ffmpeg; a folder with such files; - for standard input",
    )
    options.add_recognizer_options(parser)
    parser.add_argument(
        "--format",
        choices=tuple(ENDINGS),
        help="plain: words as recognised, a line a segment; text: as dictation writes them; srt, vtt: subtitles; "
        "json: segments and words with their times (default: by the ending of --output; else plain, or text where the "
        "recogniser punctuates)",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.add_argument(
        "--output", metavar="FILE|DIR", help="write there instead: a file, or a folder with a file for each recording"
    )
    parser.add_argument("--partials", action="store_true", help="show the words while they are found")
    parser.set_defaults(run=_run)


def formatted(event: Partial, width: int) -> str:
    """A partial in one line of at most `width` characters, the newest: stable words, a bar, those that may change.

    >>> formatted(Partial("it is", "late no", 1.0), width=9)
    '| late no'
    """
    text = f"{event.stable} | {event.tail}" if event.tail else event.stable
    return text[-width:]


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in one recording, as far as it goes."""

    name: str
    segments: Sequence[Segment]
    seconds: float
    elapsed: float
    backend: str
    error: str | None


@dataclass(frozen=True, slots=True)
class TranscriptionJob:
    """A recording, how it is called in messages, and the file that its transcript is written to, if to any."""

    recording: Recording
    name: str
    target: Path | None = None


class Watch:
    """Shows on standard error how far a recording is heard: partials, where wanted, or progress on a terminal."""

    def __init__(self, partials: bool, in_place: bool) -> None:
        self._partials, self._in_place = partials, in_place
        self._line = StatusLine(sys.stderr)

    def partial(self, event: Partial) -> None:
        """Show words that are being found, in place on a terminal or one after another."""
        if self._partials and self._in_place and self._line.there:
            self._line.update(formatted(event, 1 << 30))
        elif self._partials:
            print(formatted(event, 1 << 30), file=sys.stderr, flush=True)

    def progress(self, name: str, seconds: float, whole: float) -> None:
        """Show that `seconds` of `whole` (0: not known) have been heard."""
        if self._partials or (0 < whole < LONG_S):
            return
        share = f" of {_clock(whole)}, {min(1.0, seconds / whole):4.0%}" if whole else ""
        self._line.update(f"{name}: {_clock(seconds)}{share}")

    def clear(self) -> None:
        """Make room for a line of text."""
        self._line.clear()


@dataclass
class Printer:
    """Prints transcripts on standard output, plain words as they are found."""

    format: str | None
    rules: Rules
    headings: bool
    clear: Callable[[], None]
    _decided: str | None = field(default=None, init=False)

    def begin(self, name: str, first: bool) -> None:
        """A recording begins."""
        self._decided = self.format
        if self.headings and self.format != "json":
            self.clear()
            print(f"{'' if first else chr(10)}==> {name} <==", flush=True)

    def segment(self, segment: Segment) -> None:
        """A segment is finished."""
        self._decided = _chosen(self._decided, [segment])  # by the first, where nobody said
        if self._decided == "plain":
            self.clear()
            print(segment.text, flush=True)

    def end(self, heard: Heard) -> None:
        """The recording is over."""
        if self._decided not in (None, "plain"):
            print(rendered(heard, self._decided, self.rules), end="", flush=True)


def rendered(heard: Heard, format: str, rules: Rules) -> str:
    """A transcript in one of the formats, ended by a line feed unless it is empty."""
    if format == "json":
        return json.dumps(_table(heard)) + "\n"
    if format in ("srt", "vtt"):
        cues = subtitles.cues([word for segment in heard.segments for word in _words(segment)])
        return subtitles.srt(cues) if format == "srt" else subtitles.vtt(cues)
    if format == "plain":
        return "".join(f"{segment.text}\n" for segment in heard.segments)
    return "".join(f"{paragraph}\n" for paragraph in written(heard.segments, rules))


def written(segments: Iterable[Segment], rules: Rules) -> list[str]:
    """Segments as dictation would have written them; a long pause begins a new paragraph."""
    writer, paragraphs, end = TextFormatter(rules), [""], float("-inf")
    for segment in segments:
        if segment.start - end >= PARAGRAPH_S:
            writer.begin()
            paragraphs.append("")
        paragraphs[-1] = apply(paragraphs[-1], writer.segment(segment.text, segment.pauses, segment.punctuated))
        end = segment.end
    return [paragraph for paragraph in paragraphs if paragraph]


def _chosen(format: str | None, segments: Iterable[Segment]) -> str:
    """The format asked for, else what suits the recogniser: one that punctuates gives sentences."""
    return format or ("text" if any(segment.punctuated for segment in segments) else "plain")


def _words(segment: Segment) -> Iterator[subtitles.Timed]:
    for word, (start, end) in zip(segment.text.split(), segment.times, strict=True):
        yield subtitles.Timed(word, start, end)


def _table(heard: Heard) -> dict[str, Any]:
    return {
        "file": heard.name,
        "text": joined(heard.segments),
        "segments": [
            {
                "text": segment.text,
                "start": round(segment.start, 3),
                "end": round(segment.end, 3),
                "pauses": segment.pauses,
                "words": [
                    {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
                    for word in _words(segment)
                ],
            }
            for segment in heard.segments
        ],
        "seconds": round(heard.seconds, 3),
        "backend": heard.backend,
        "elapsed": round(heard.elapsed, 3),
        "error": heard.error,
    }


def _clock(seconds: float) -> str:
    """
    >>> _clock(62.9), _clock(3_605)
    ('1:02', '1:00:05')
    """
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}" if minutes >= 60 else f"{minutes}:{second:02}"


def _transcribe(pipeline: factory.Pipeline, path: Path, name: str, watch: Watch, printer: Printer | None) -> Heard:
    """Hear one recording, as far as it goes."""
    from device.audio.chunk import SAMPLE_RATE
    from device.audio.decode import AudioError
    from device.audio.file import WaveFile

    began = time.monotonic()
    segments: list[Segment] = []
    seconds = 0.0
    problem = None

    def take(events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Partial):
                watch.partial(event)
            elif isinstance(event, Segment):
                segments.append(event)
                if printer:
                    printer.segment(event)

    recording = WaveFile(path)
    try:
        for chunk in recording:
            seconds = chunk.seconds + len(chunk.samples) / SAMPLE_RATE
            take(pipeline.recognizer.accept_waveform(chunk.samples))
            watch.progress(name, seconds, recording.seconds)
    except AudioError as error:
        problem = str(error).replace(str(path), name, 1)
    take(pipeline.recognizer.finish())
    watch.clear()
    return Heard(name, segments, seconds, time.monotonic() - began, pipeline.accelerator.name, problem)


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """The path of a recording; standard input is kept in a file first, since not every format can be read in order."""
    if path != STDIN:
        yield path
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input is a terminal; give it a recording: dictate transcribe - < speech.flac")
    with tempfile.TemporaryDirectory(prefix="dictate-") as folder:
        kept = Path(folder, "standard-input")
        with kept.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield kept


def _jobs(paths: Sequence[Path]) -> tuple[list[TranscriptionJob], list[str]]:
    """What is to be transcribed, and what cannot be."""
    jobs, faults = [], []
    for path in paths:
        try:
            found = [Recording(STDIN, Path("standard-input"))] if path == STDIN else list(gather([path]))
        except UserError as error:
            faults.append(str(error))
            continue
        jobs += [TranscriptionJob(each, "standard input" if each.path == STDIN else str(each.path)) for each in found]
    return jobs, faults


def _targets(jobs: Sequence[TranscriptionJob], output: str, ending: str, several: bool) -> list[TranscriptionJob]:
    """The same with the file that each is written to."""
    folder = Path(output)
    if not several and not folder.is_dir() and not output.endswith("/"):
        return [replace(job, target=folder) for job in jobs]
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {output}: is a file; several recordings need a folder")
    names = [job.recording.below.with_suffix(ending) for job in jobs]
    alike = {name for name in names if names.count(name) > 1}
    names = [
        job.recording.below.with_name(job.recording.below.name + ending) if name in alike else name
        for job, name in zip(jobs, names, strict=True)
    ]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--output {output}: two recordings would be written to {doubled[0]}; do them one by one")
    return [replace(job, target=folder / name) for job, name in zip(jobs, names, strict=True)]


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write(target, text.encode("utf-8", "surrogateescape"))


def _format(asked: str | None, output: str | None) -> str | None:
    """The format that is asked for by name, or by the ending of the file to write."""
    if asked or not output:
        return asked
    return {".srt": "srt", ".vtt": "vtt", ".json": "json"}.get(Path(output).suffix.lower())


def _own_words(file: Path) -> tuple[UserWord, ...]:
    """The user's words; none where the file is not for this user to read."""
    try:
        return user_words.load(file).words
    except (OSError, UserError):
        return ()


def _run(arguments: argparse.Namespace) -> int:
    from device.cli.first_use import bundles_for
    from device.cli.recognizer import load_recognizer
    from device.config.places import forgiving

    format = _format(arguments.format, arguments.output)
    jobs, faults = _jobs(arguments.files)
    several = len(arguments.files) > 1 or arguments.files[0].is_dir()
    if arguments.output:
        jobs = _targets(jobs, arguments.output, ENDINGS[format or "plain"], several)
    elif several and format in ("srt", "vtt"):
        raise UsageError(f"--format {format}: subtitles of several recordings need --output DIR")
    config = forgiving()
    words = _own_words(config.vocabulary.file)
    rules = formatter.rules_from(config.text, user_words.spellings(words))
    folders = bundles_for("transcribe", arguments.bundle)
    timed = format in ("srt", "vtt", "json")
    pipeline, _ = load_recognizer(arguments, "transcribe", folders, words=words, word_times=timed)
    watch = Watch(arguments.partials, in_place=format != "json")
    for fault in faults:
        print(f"dictate transcribe: {fault}", file=sys.stderr, flush=True)
    status = int(bool(faults))
    try:
        for number, job in enumerate(jobs):
            printer = None if job.target else Printer(format, rules, several, watch.clear)
            if printer:
                printer.begin(job.name, first=not number)
            with _opened(job.recording.path) as path:
                heard = _transcribe(pipeline, path, job.name, watch, printer)
            if printer:
                printer.end(heard)
            elif job.target and (heard.segments or not heard.error):
                _write(job.target, rendered(heard, _chosen(format, heard.segments), rules))
            if heard.error:
                print(f"dictate transcribe: {heard.error}", file=sys.stderr, flush=True)
                status = 1
    finally:
        watch.clear()
    return status

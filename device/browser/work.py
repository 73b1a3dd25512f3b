"""A page's utterances, one after another: sound from it, text to it."""

from __future__ import annotations

import logging

from device.asr.decoder import Decoder
from device.asr.recognizer import Recognizer
from device.asr.results import Partial, Segment
from device.browser.acoustic import BrowserAcoustic
from device.browser.page import Page, PageError
from device.text.edits import apply
from device.text.formatter import Rules, TextFormatter
from models.bundle import Bundle

log = logging.getLogger(__name__)


def transcribe(bundle: Bundle, decoder: Decoder, rules: Rules, page: Page) -> None:
    """Recognize what the page hears until it is closed; what goes wrong is logged."""
    try:
        log.info("the models run on %s", page.about())
        recognizer = Recognizer(bundle, BrowserAcoustic(bundle, page), decoder, live=True)
        writer, text = TextFormatter(rules), ""
        writer.begin()
        for samples in page.sound():
            events = recognizer.finish() if samples is None else recognizer.accept_waveform(samples)
            for event in events:
                if isinstance(event, Segment):
                    text = apply(text, writer.segment(event.text, event.pauses, event.punctuated))
                    page.display({"text": text})
                elif isinstance(event, Partial):
                    page.display({"partial": f"{event.stable} {event.tail}".strip()})
            if samples is None:
                page.display({"final": True})
    except PageError as error:
        log.info("%s", error)
    finally:
        decoder.finish()

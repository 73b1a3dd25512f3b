"""Make docs/web.png: the page in Chromium while a real appliance hears a recording.

python tests/system/web_picture.py [FILE]
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import web_page  # noqa: E402
from appliance_bench import Bench  # noqa: E402
from chrome_driver import present, text  # noqa: E402

SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox")
NAMES = ("sense_and_sensibility_01_austen_64kb-0880.wav", "sense_and_sensibility_01_austen_64kb-0930.wav")
WORDS_OF_PARTIAL = 5


def main(target: Path) -> None:
    """Dictate one recording to its end, and a second until some words are live; then take the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch), web_page.free_port()
        (folder / "words.tsv").write_text("Xiaoming\tshao ming\nKowalczyk\tko val chick\n")
        bench = Bench(folder)
        for name in NAMES:
            bench.configure(
                f'[bundle]\ndir = "{ROOT}/models/build/base"\n[recognizer]\nbackend = "cpu"\n'
                + web_page.configuration(folder, port)
            )
            source = f'[audio]\nsource = "file"\nfile = "{SPEECH / name}"\nkeep_open = false'
            bench.file.write_text(bench.file.read_text().replace("[audio]", source))
            bench.start("real")
            if name != NAMES[-1]:
                bench.button(True)
                bench.manager.wait(lambda: len(bench.entries()) >= 1, 60)
                bench.button(False)
                bench.manager.wait(lambda: "1 dictations" in bench.manager.status, 60)
                bench.stop(signal.SIGTERM)
        with web_page.served(bench.file, port) as page, web_page.chromium(folder / "profile", 820, 1180) as browser:
            browser.get(page.entry)
            web_page.wait(lambda: present(browser, "set-panel.mode"), "the settings")
            bench.button(True)

            def live() -> bool:
                return len(text(browser, "live").split()) >= WORDS_OF_PARTIAL

            web_page.wait(live, "live text")
            browser.save_screenshot(str(target))
            bench.button(False)
        bench.stop(signal.SIGTERM)
        bench.close()
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "web.png")

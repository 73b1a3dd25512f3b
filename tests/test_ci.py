"""What continuous integration makes of skipped tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from needs import Need

SKIPS = Path(__file__).resolve().parents[1] / ".ci" / "skips"


def check(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run tests that skip, and .ci/skips on their report."""
    (folder / "test_some.py").write_text("import pytest\n\n\ndef test_passes():\n    pass\n\n\n" + code)
    report = folder / "report.xml"
    words = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run([*words, folder], capture_output=True, check=True, env={"PYTEST_ADDOPTS": ""})
    return subprocess.run([sys.executable, SKIPS, report], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("reason", "allowed"),
    [
        *((f"{need.value}: a thing", True) for need in Need),
        ("needs ssh-keygen", False),
        ("could not import 'lgpio'", False),
    ],
)
def test_only_what_needs_py_allows_may_skip(tmp_path: Path, reason: str, allowed: bool) -> None:
    done = check(tmp_path, f"@pytest.mark.skip(reason={reason!r})\ndef test_skips():\n    pass\n")
    assert (done.returncode == 0) == allowed, done.stdout
    assert reason in done.stdout and "test_skips" in done.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    done = check(tmp_path, "@pytest.mark.xfail(reason='needs ssh-keygen')\ndef test_fails():\n    assert False\n")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("count", "fine"), [(15, True), (16, False)])
def test_more_than_fifteen_are_too_many(tmp_path: Path, count: int, fine: bool) -> None:
    done = check(
        tmp_path,
        f"@pytest.mark.parametrize('n', range({count}))\ndef test_n(n):\n    pytest.skip('needs the kernel: x')\n",
    )
    assert (done.returncode == 0) == fine, done.stdout


def test_no_report_is_no_success() -> None:
    assert subprocess.run([sys.executable, SKIPS], capture_output=True).returncode

"""The report as one HTML page that needs nothing else: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from device.bench import plots
from device.bench.record import BenchReport
from device.bench.table import NONE, Table, tables

ARTICLE = (
    "The article “Streaming ASR on Consumer CPUs: What Broke Our PyCon Demo and How We Fixed It” (isabelle dubuis, "
    "DEV Community) claims 5.7 h instead of 3.2 h on one battery for a Raspberry Pi 4 with a Coral. That is the "
    "article's figure; no Coral and no Pi were measured here."
)

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#e3e7ec;--paper:#fff;--back:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b3;--line:#2e3742;--paper:#12171d;--back:#0b0f14}}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px} h2{font-size:18px;margin:0 0 8px} p{margin:6px 0} .soft{color:var(--soft)}
section{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:18px 20px;margin-top:18px}
.scroll{overflow-x:auto} table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}
th,td{padding:6px 8px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;white-space:nowrap}
th{font-weight:600;color:var(--soft);vertical-align:bottom;white-space:normal;line-height:1.25}
td:first-child,th:first-child,.words td,.words th{text-align:left} .words td{white-space:normal}
svg{display:block;width:100%;height:auto} dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:0}
dt{color:var(--soft)} dd{margin:0}
"""


def html(report: BenchReport) -> str:
    """The page."""
    made = report.made.replace("T", " ").partition("+")[0]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            "<title>dictate bench</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            "<h1>dictate bench</h1>",
            f'<p class="soft">{escape(made)} UTC, {escape(report.machine.model)}</p>',
            *_sections(report),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _sections(report: BenchReport) -> Iterator[str]:
    found = {table.title: table for table in tables(report)}
    yield _section("", plots.latency(report), _shown(found, "Latency"))
    yield _section("", plots.errors(report), _shown(found, "Cost and errors"), _shown(found, "Ratios"))
    if chart := plots.energy(report):
        yield _section("", chart, f'<p class="soft">{escape(report.meter)}</p>')
    for title, picture in (
        ("Windows", plots.windows(report)),
        ("Capture", ""),
        ("Cores, priority and clock", plots.latency(report, "realtime")),
    ):
        if title in found:
            yield _section("", picture, _table(found[title]))
    yield _section("Battery", *_battery(report))
    if "Not measured" in found:
        yield _section("", _table(found["Not measured"]))
    yield _section("What was measured where", _where(report))


def _section(title: str, *parts: str) -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return "\n".join(["<section>", *filter(None, [heading, *parts]), "</section>"])


def _shown(found: Mapping[str, Table], title: str) -> str:
    """The table of that title, if there is one."""
    return "".join(_table(table) for name, table in found.items() if name.startswith(title))


def _table(table: Table) -> str:
    kind = "words" if table.title == "Not measured" else "numbers"
    heads = "".join(f"<th>{escape(head)}</th>" for head in table.heads)
    rows = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="soft">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll"><table class="{kind}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _cell(text: str) -> str:
    """A ratio's spread goes below it."""
    return escape(text).replace(" [", "<br/>[")


def _battery(report: BenchReport) -> Iterator[str]:
    life = report.battery
    if life is None:
        yield f"<p>{escape(report.unmeasured.get('battery', 'not measured'))}</p>"
    else:
        yield (
            f"<p><b>{life.hours:.1f} h</b> from {life.battery_wh:g} Wh, dictating {100 * life.duty:.0f} % of the "
            f"time: computed from {life.dictating_watts:.2f} W dictating and {life.idle_watts:.2f} W waiting, "
            f"measured over {life.measured_s / 60:.0f} min ({escape(life.source)}).</p>"
        )
    yield f'<p class="soft">{escape(ARTICLE)}</p>'


def _where(report: BenchReport) -> str:
    m, s = report.machine, report.speech
    versions = {**m.libraries}
    for measurement in report.measurements:
        versions |= measurement.versions
    facts = {
        "machine": f"{m.model}, {m.architecture}, {m.cores} cores, {m.usable_cores} usable, {m.memory_mb} MB"
        + (", virtual" if m.virtual else ""),
        "governor": m.governor,
        "scheduling": m.scheduling,
        "kernel": m.kernel,
        "load before": " ".join(f"{load:.2f}" for load in m.load) or NONE,
        "Python": m.python,
        "libraries": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "speech": f"{s.source}: {s.recordings} recordings, {s.seconds:.1f} s; {s.paced_seconds:g} s of it at a "
        "microphone's pace in each repetition, all of it at full speed",
        "repetitions": f"{report.repetitions}, interleaved, each in a process of its own that may use {report.threads} "
        "of the cores",
    }
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>"

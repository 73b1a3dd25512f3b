"""The life of one card in the virtual Pi, step after step; each test goes on where the one before ended.

What is real: the image, its kernel, systemd, the service as installed, gpiozero and lgpio on a GPIO chip, PyAudio and
PortAudio on ALSA, the HID gadget and the host's HID driver, ext4. What stands in for hardware: docs/virtual-pi.md.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import journal_writer
import pytest
from bench import JOURNAL, ROOT, TOLERANCE, Bench, word_errors
from needs import Need, skip

from device.output.journal import JournalEntry, entries_in, text_of
from device.output.jsonl import decode, files
from provisioning.common import release
from provisioning.common.target import Target
from provisioning.emulator import blocklog, card, power_loss, recovery
from provisioning.emulator.blocklog import Entry as Request
from provisioning.emulator.machine import PORTS
from provisioning.emulator.pi import FAULT, LISTENING, READY, TOOLS, Wiring
from provisioning.emulator.power_loss import Cut, Fate
from provisioning.emulator.report import Steps

pytestmark = pytest.mark.image

LOG = "writes.log"
WRITER_FOLDER = "/var/lib/dictate/cut-test"
WRITER_JOURNAL = "/dictate/cut-test"
OTHER_BATTERY_S = 15.0
"""How long nothing must be shown; the appliance reads its meter more often."""
CUTS = 120
EARLY = 6
"""Requests: about what two syncs of the journal are."""
SEED = 20261122


def overruns(bench: Bench) -> int:
    """How often the service has counted lost sound since it was started, by the end of the last dictation."""
    log = "journalctl -b --no-pager -o cat -u dictate | grep -o '[0-9]* overruns so far' | tail -n 1"
    return int((bench.pi.shell.run(log) or "0").split()[0])


def dictated(bench: Bench, name: str, tries: int = 3) -> str:
    """Dictate a recording until its words arrive: an emulator that is too slow loses sound, which the service counts.

    Other words from sound that is whole are a failure at once; where sound was lost each time, the step is skipped.
    """
    heard, lost = "", overruns(bench)
    for attempt in range(1, tries + 1):
        heard = bench.pi.dictate(name)
        errors = word_errors(bench.expected[name], heard)
        before, lost = lost, overruns(bench)
        bench.steps.remark(
            f"typed {heard.strip()!r} (word errors {errors:.0%}, sound lost {lost - before} times, attempt {attempt})"
        )
        if errors <= TOLERANCE:
            return heard
        if lost == before:
            pytest.fail(f"{name}: typed {heard!r}, expected {bench.expected[name]!r}, and no sound was lost")
    skip(Need.HARDWARE, f"{name}: this emulator is too slow to hear: sound was lost in each of {tries} attempts")


def guest_entries(bench: Bench) -> list[JournalEntry]:
    """The appliance's journal, read in the running board by its own command."""
    lines = bench.pi.shell.run("dictate journal --json", 180).splitlines()
    return [JournalEntry(**json.loads(line)) for line in lines if line.startswith("{")]


def test_boots_to_ready(bench: Bench, steps: Steps) -> None:
    with steps.step("power to ready LED"):
        bench.boot("first", bench.new_card("card"), bench.work / LOG)
        bench.pi.until_ready()
        bench.started = blocklog.length(bench.work / LOG)
    with steps.step("root shell and USB host of the test"):
        bench.pi.open_shell()


def test_speech_is_typed_and_kept(bench: Bench, steps: Steps) -> None:
    with steps.step("press, speak, release, words typed"):
        heard = dictated(bench, "one.wav")
    with steps.step("the same words in the journal"):
        entries = guest_entries(bench)
        assert text_of(entries).endswith(heard)
        assert {entry.state for entry in entries} == {"typed"}


def test_nothing_listens(bench: Bench, steps: Steps) -> None:
    with steps.step("no listening port"):
        sockets = bench.pi.shell.run("ss -H -tulpn")
        steps.remark("ss -tulpn: nothing" if not sockets.strip() else sockets)
        assert sockets.strip() == ""


def test_ssh_takes_keys_only(bench: Bench) -> None:
    """As sshd understands its configuration; the host key is one of this test."""
    key = "/run/sshd-test-key"
    bench.pi.shell.run(f"mkdir -p /run/sshd && ssh-keygen -q -t ed25519 -N '' -f {key}")
    said = set(bench.pi.shell.run(f"/usr/sbin/sshd -T -f /etc/ssh/dictate_sshd_config -h {key}").splitlines())
    assert {"passwordauthentication no", "kbdinteractiveauthentication no", "permitrootlogin without-password",
            "authorizedkeysfile /run/dictate-setup/authorized_keys", "allowusers root"} <= said  # fmt: skip


def test_root_is_read_only_and_data_fills_the_card(bench: Bench, steps: Steps) -> None:
    with steps.step("read-only root, data grown to the card"):
        assert "ro" in bench.pi.shell.run("findmnt -no OPTIONS /").split(",")
        size = int(bench.pi.shell.run("df -B1 --output=size /var/lib/dictate | tail -1"))
        steps.remark(f"data partition {size >> 20} MiB of a card of {bench.size >> 20} MiB")
        assert size > bench.image.data.size + (bench.size - bench.image.image.stat().st_size) * 0.8


def remove_microphone(bench: Bench) -> None:
    """Unplug the sound card as a USB port does, and wait for the LED that says so."""
    pi = bench.pi
    # A module in use cannot be removed: unplug the card first.
    pi.shell.run("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/unbind && modprobe -r snd-aloop", 120)
    pi.until("the microphone LED", lambda: pi.leds_say()[FAULT] == "flashes 4", 120)


def test_microphone_lost_and_back(bench: Bench, steps: Steps) -> None:
    pi = bench.pi
    with steps.step("microphone removed, LED says so"):
        remove_microphone(bench)
        assert pi.leds_say()[READY] == "steady"
    with steps.step("microphone back, LED says so"):
        pi.shell.run("modprobe snd-aloop", 60)
        pi.until("the end of that LED", lambda: pi.leds_say()[FAULT] != "flashes 4", 120)
    with steps.step("press, speak, release, words typed again"):
        dictated(bench, "one.wav")


def test_an_empty_battery_of_another_device_is_no_reason(bench: Bench, steps: Steps) -> None:
    """The kernel says of a keyboard's or mouse's battery that it is theirs: nothing is shown, nothing switched off."""
    pi, battery = bench.pi, "/sys/class/power_supply/hid-*"
    with steps.step("another device's battery at 3 %, nothing shown"):
        pi.shell.run(f"mkfifo {TOOLS}/charge")
        pi.shell.background(f"python3 {TOOLS}/battery.py 3 <> {TOOLS}/charge", f"{TOOLS}/battery.log")
        pi.until("a battery", lambda: pi.shell.run(f"cat {battery}/capacity", check=False) == "3\n", 60, 0.5)
        assert pi.shell.run(f"cat {battery}/type {battery}/scope") == "Battery\nDevice\n"
        assert pi.leds_say(OTHER_BATTERY_S) == ("steady", "dark", "dark")
        assert pi.shell.run("systemctl is-active dictate") == "active\n"


def stand_in(bench: Bench, name: str) -> str:
    """Start a USB device that exists in software only (guest/usbip.py); returns the pipe that takes its orders."""
    orders = f"{TOOLS}/{name}"
    bench.pi.shell.run(f"modprobe vhci-hcd && mkfifo {orders}")
    bench.pi.shell.background(f"exec python3 -s {TOOLS}/usbip.py {name} <> {orders}", f"{TOOLS}/{name}.log")
    return orders


CORAL = """from device.inference.edgetpu.usb import find_coral, permitted
coral = find_coral()
print(coral and f"{coral.node} {coral}{'' if permitted(coral) else ', no permission'}")"""
"""What `dictate doctor` and the recogniser ask first."""


def test_a_coral_comes_loads_its_firmware_and_goes(bench: Bench, steps: Steps) -> None:
    """On a USB bus of the real kernel, with the image's udev rule and the service's user; the Coral is a stand-in."""
    pi = bench.pi
    pi.shell.run(f"cat > {TOOLS}/coral_seen.py <<'END'\n{CORAL}\nEND")
    site = pi.shell.run("ls -d /usr/lib/dictate/factory/site").strip()
    on_bus = "cat /sys/bus/usb/devices/*/idProduct"

    def seen(user: str = "dictate") -> str:
        rights = f"setpriv --reuid {user} --regid $(id -g {user}) --init-groups env PYTHONPATH={site}"
        return pi.shell.run(f"cd / && {rights} python3 -s {TOOLS}/coral_seen.py", 240).strip()

    with steps.step("a Coral is plugged in: found, its node is plugdev's, the service's user may open it"):
        assert seen() == "None"
        orders = stand_in(bench, "coral")
        pi.until("the Coral", lambda: "089a" in pi.shell.run(on_bus), 120, 0.5)
        found = seen()
        steps.remark(found)
        assert re.search(r"1a6e:089a at [\d.-]+, firmware not uploaded yet, 5000 Mbit/s$", found), found
        node = found.split()[0]
        assert pi.shell.run(f"stat -c %G {node}") == "plugdev\n"
        assert seen("nobody") == f"{found}, no permission"
    with steps.step("its firmware is loaded by the service's user: it comes back as another device"):
        pi.shell.run(
            "systemd-run --wait --collect -p User=dictate -p DevicePolicy=closed -p 'DeviceAllow=char-usb_device rw' "
            f"python3 -s {TOOLS}/dfu.py {node}",  # with the service's rights to devices, and to no others
            240,
        )
        pi.until("the Coral with its firmware", lambda: "9302" in pi.shell.run(on_bus), 120, 0.5)
        found = seen()
        steps.remark(found)
        assert re.search(r"18d1:9302 at [\d.-]+, firmware running, 5000 Mbit/s$", found), found
        assert pi.shell.run(f"cat {TOOLS}/coral.log") == "boot loader\nfirmware of 1000 bytes\nfirmware runs\n"
    with steps.step("it is unplugged: gone"):
        pi.shell.run(f"echo unplug > {orders}")
        pi.until("its loss", lambda: "9302" not in pi.shell.run(on_bus), 120, 0.5)
        assert seen() == "None"
    assert pi.shell.run("systemctl is-active dictate") == "active\n"


def test_the_battery_of_the_board_is_believed_where_it_can_be(bench: Bench, steps: Steps) -> None:
    """An INA219 with the kernel's own driver, on an I2C adapter that is a stand-in."""
    pi = bench.pi
    running = "systemctl show -P MainPID dictate; systemctl is-active dictate"
    before = pi.shell.run(running)

    def led(wanted: str) -> None:
        pi.until(f"the fault LED: {wanted}", lambda: pi.leds_say()[FAULT] == wanted, 120)
        assert pi.shell.run(running) == before

    with steps.step("a meter INA219 is plugged in: read through ina2xx-adc"):
        orders = stand_in(bench, "ina219")
        volts = "cat /sys/bus/iio/devices/iio:device*/in_voltage1_raw"
        pi.until("the meter's driver", lambda: pi.shell.run(volts, check=False) == "1000\n", 120, 0.5)
        meter = pi.shell.run("dictate power now", 120).strip()
        steps.remark(meter.splitlines()[0])
        led("dark")
    with steps.step("3.25 V and charging: nothing shown, nothing switched off"):
        pi.shell.run(f"echo 3.25 -0.85 > {orders}")
        assert pi.leds_say(20.0) == ("steady", "dark", "dark") and pi.shell.run(running) == before
    with steps.step("3.35 V and discharging: the LED says charge it soon"):
        pi.shell.run(f"echo 3.35 0.85 > {orders}")
        led("flashes 3")
    with steps.step("0 V, as from a broken wire: nothing shown, nothing switched off"):
        pi.shell.run(f"echo 0 0.85 > {orders}")
        led("dark")
    with steps.step("the meter's adapter is unplugged and comes back: read again"):
        pi.shell.run(f"echo unplug > {orders}")
        pi.until("its loss", lambda: "unplugged" in pi.shell.run(f"cat {TOOLS}/ina219.log"), 60, 0.5)
        led("dark")
        pi.shell.run(f"echo 3.35 0.85 > {orders} && echo plug > {orders}")
        led("flashes 3")
        pi.shell.run(f"echo 4.0 0.5 > {orders}")
        led("dark")


def test_power_goes_in_mid_dictation(bench: Bench, steps: Steps) -> None:
    """The last thing that this board does: its journal is written at full speed while it hears and types."""
    pi = bench.pi
    with steps.step("current cut in mid-dictation"):
        site = pi.shell.run("ls -d /usr/lib/dictate/factory/site").strip()
        pi.shell.run(f"mkdir -p {WRITER_FOLDER}")
        pi.press()
        player = threading.Thread(target=lambda: pi.play("two.wav", 120))
        player.start()
        before = len(pi.screen_text())
        pi.until("the first of two sentences", lambda: len(pi.screen_text()) > before + 10, 300)
        player.join()
        assert pi.leds.lit()[LISTENING], "it was no longer dictating"
        pi.shell.background(
            f"exec nice python3 {TOOLS}/journal_writer.py {site} {WRITER_FOLDER} {PORTS['kept']}", f"{TOOLS}/writer.log"
        )
        pi.until("a hundred kept edits", lambda: len(pi.witness.kept) >= 100, 240)
        assert pi.leds.lit()[LISTENING], "it was no longer dictating"
        witness = pi.witness
        bench.power_off()
        steps.remark(f"{len(witness.kept)} edits kept, {len(witness.received)} characters typed")
        bench.witness = witness


@pytest.fixture(scope="module")
def record(bench: Bench) -> list[Request]:
    with (bench.work / LOG).open("rb") as stream:
        return list(blocklog.entries(stream))


@pytest.fixture(scope="module")
def planned(bench: Bench, record: list[Request]) -> list[Cut]:
    """Cuts in three stretches: first boot, dictations, and the writer at full speed."""
    if not (bench.witness.received and bench.witness.kept):
        skip(Need.EARLIER, "the dictation at which the power goes")
    typed_from = bench.witness.received[0].at
    writer_from = bench.witness.kept[0][0]
    borders = (0, typed_from, writer_from, len(record))
    stretches = zip(borders[:-1], borders[1:], (CUTS // 6, CUTS // 3, CUTS // 2), strict=True)
    return [cut for first, last, count in stretches for cut in power_loss.plan(record, first, last, count, SEED)]


def must_have(bench: Bench, cut: Cut) -> tuple[str, int]:
    """What had been seen from outside before the cut: the screen's text, and the number of the last kept edit."""
    typed = [moment.text for moment in bench.witness.received if moment.at < cut.at]
    kept = [number for at, number in bench.witness.kept if at < cut.at]
    return (typed[-1] if typed else ""), (kept[-1] if kept else 0)


def damaged(folder: Path) -> list[str]:
    """Lines of a journal that are not whole, other than the end of its newest file."""
    found = []
    for file in files(folder):
        lines = file.read_bytes().splitlines(keepends=True)
        bad = [number for number, line in enumerate(lines) if decode(line) is None]
        last_whole = max((number for number, line in enumerate(lines) if decode(line) is not None), default=-1)
        torn_tail = file == files(folder)[-1] and all(number > last_whole for number in bad)
        found += [] if torn_tail else [f"{file.name}:{number + 1}" for number in bad]
    return found


def check_journals(bench: Bench, cut: Cut, appliance: Path, writer: Path) -> int:
    """Nothing that was acknowledged before the cut is missing, nothing that is there is other than it was written.

    Returns how many edits the writer's journal has.
    """
    screen, number = must_have(bench, cut)
    text = text_of(entries_in(appliance))
    assert text.startswith(screen), f"{cut}: {screen!r} was typed, the journal has {text!r}"
    written = [entry.text for entry in entries_in(writer)]
    assert len(written) >= number, f"{cut}: edit {number} was acknowledged, {len(written)} are there"
    assert written == [journal_writer.text(n) for n in range(1, len(written) + 1)]
    assert not damaged(appliance) and not damaged(writer)
    return len(written)


def test_no_acknowledged_segment_is_lost(
    bench: Bench, steps: Steps, record: list[Request], planned: list[Cut], tmp_path: Path
) -> None:
    flushes = sum(blocklog.Kind.FLUSH in request.kind for request in record)
    with steps.step(f"{len(planned)} power cuts between {flushes} flushes"):
        assert len(planned) >= 100
        replay = recovery.Replay(bench.image, bench.size, bench.work / LOG, record)
        too_early = 0
        for place, (cut, partition) in enumerate(replay.partitions(planned, tmp_path)):
            repaired = recovery.repair(partition)
            assert repaired.clean, f"{cut}: {repaired}"
            folder = tmp_path / str(place)
            appliance = recovery.read_folder(partition, JOURNAL, folder)
            writer = recovery.read_folder(partition, WRITER_JOURNAL, folder)
            kept = check_journals(bench, cut, appliance, writer)
            told = [number for at, number in bench.witness.kept if at - EARLY < cut.at]
            too_early += bool(told) and kept < told[-1]
        assert too_early, "these cuts would not have found a journal that acknowledges too early"
        acknowledged = sum(bool(must_have(bench, cut)[0]) for cut in planned)
        lost = sum(len(power_loss.volatile(record, cut.at)) - len(cut.survivors) for cut in planned)
        steps.remark(
            f"{len(record)} requests recorded; {acknowledged} cuts with text acknowledged before; "
            f"{lost} writes lost or torn, nothing that was acknowledged; "
            f"a journal that acknowledged {EARLY} requests earlier would have lost text in {too_early} of them"
        )


def test_no_cut_of_the_first_start_loses_the_file_system(
    bench: Bench, steps: Steps, record: list[Request], tmp_path: Path
) -> None:
    """It is mounted and grown here: not a sample of the cuts, but every request."""
    replay = recovery.Replay(bench.image, bench.size, bench.work / LOG, record)
    possible = replay.outcomes(0, bench.started, tmp_path, SEED)
    with steps.step(f"all that power cuts in the first {bench.started} requests can leave: {len(possible)} outcomes"):
        assert len(possible) > 500, "that was no first start"
        for cut, partition in replay.partitions(possible, tmp_path):
            repaired = recovery.repair(partition)
            assert repaired.clean, f"{cut}: {repaired}"


def test_boots_after_a_cut_and_goes_on(bench: Bench, steps: Steps, record: list[Request]) -> None:
    """The worst moment: the very end, and nothing that was not flushed has reached the medium."""
    replay = recovery.Replay(bench.image, bench.size, bench.work / LOG, record)
    [cut] = [cut for cut in power_loss.plan(record, len(record), len(record), 4, SEED) if cut.fate is Fate.LOST] or [
        Cut(len(record), power_loss.flushed_before(record, len(record)), Fate.LOST, ())
    ]
    screen, _ = must_have(bench, cut)
    with steps.step("power back to ready LED"):
        disk = replay.card(cut, bench.work / "after-cut.img")
        bench.boot("after-cut", disk)
        bench.pi.until_ready()
    with steps.step("journal intact, file system clean"):
        bench.pi.open_shell()
        assert text_of(guest_entries(bench)).startswith(screen)
        said = bench.pi.shell.run("journalctl -b -k --no-pager | grep -iE 'EXT4-fs|vda' || true")
        assert "error" not in said.lower(), said
        device = bench.pi.shell.run("findmnt -no SOURCE --target /var/lib/dictate").split("[")[0].strip()
        state = bench.pi.shell.run(f"dumpe2fs -h {device} 2>/dev/null | grep 'Filesystem state'")
        assert re.search(r"state:\s+clean$", state.strip()), state
        steps.remark("; ".join(re.findall(r"(EXT4-fs \(vda3\): [^.]*)", said)[:2]))
    with steps.step("press, speak, release, words typed after the cut"):
        dictated(bench, "one.wav")


@pytest.mark.parametrize("fate", [Fate.TORN, Fate.SOME])
def test_boots_after_other_cuts(
    bench: Bench, steps: Steps, record: list[Request], planned: list[Cut], fate: Fate
) -> None:
    cut = [cut for cut in planned if cut.fate is fate and cut.at < len(record)][-1]
    with steps.step(f"boot after a cut at request {cut.at}, {fate.value}"):
        replay = recovery.Replay(bench.image, bench.size, bench.work / LOG, record)
        bench.boot(f"after-cut-{fate.name.lower()}", replay.card(cut, bench.work / "after-another-cut.img"))
        bench.pi.until_ready()
        bench.pi.open_shell()
        assert text_of(guest_entries(bench)).startswith(must_have(bench, cut)[0])


def test_a_mistake_in_the_configuration_is_told_and_survived(bench: Bench, steps: Steps) -> None:
    with steps.step("mistake in dictation.toml: said on the serial line and by the LED, boots all the same"):
        text = Wiring().config() + '\n[sinks.keyboard]\nlayuot = "uk"\n'
        mistaken = bench.work / "mistaken.img"
        card.with_boot_files(bench.image.image, mistaken, {"dictation.toml": text.encode()})
        bench.boot("mistaken", bench.new_card("mistaken", mistaken))
        said = bench.pi.machine.serial.wait(r"dictation\.toml[^\n]*layuot[^\n]*", 400)
        steps.remark(said[0])
        bench.pi.until_ready(400)
        assert bench.pi.leds_say() == ("steady", "dark", "flashes 5")


@pytest.fixture(scope="module")
def updates(bench: Bench, key: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A release that works, and one that ends before it is ready; both signed, by file name."""
    folder = tmp_path_factory.mktemp("updates")
    release.build_release(folder / "works", Target("cp311"), ROOT / "models/build/base", without_coral=True)
    shutil.copytree(folder / "works", folder / "fails")
    (folder / "works/site/update.txt").write_text("An update.\n")
    appliance = folder / "fails/site/device/app/service.py"
    assert appliance.is_file()
    appliance.write_text("raise SystemExit('this release does not work')\n")
    made = {}
    for serial, name in enumerate(("works", "fails"), 1):
        for stale in (folder / name).rglob("service.cpython-*.pyc"):
            stale.unlink()
        release.describe(folder / name, Target("cp311"), without_coral=True)
        made[name] = folder / f"{name}.update"
        tool = [sys.executable, ROOT / "provisioning/make-update"]
        words = [*tool, "--key", key, "--release", folder / name, "--serial", str(serial), "--out", made[name]]
        subprocess.run(words, check=True, capture_output=True)
    return made


def running_release(bench: Bench) -> str:
    """The id of the release that is current, as the board says it."""
    status = bench.pi.shell.run("/usr/lib/dictate/release status", 60)
    return status.split()[1] + (" on trial" if "on trial" in status else "")


def test_an_update_on_the_card_is_applied(bench: Bench, steps: Steps, updates: dict[str, Path]) -> None:
    with steps.step("signed update on the FAT partition: installed at boot, ready, confirmed"):
        updated = bench.work / "updated.img"
        card.with_boot_files(bench.image.image, updated, {"dictate.update": updates["works"].read_bytes()})
        bench.boot("updated", bench.new_card("updated", updated), extra={"fails.update": updates["fails"].read_bytes()})
        bench.pi.until_ready(600)
        bench.pi.open_shell()
        bench.pi.until("the confirmation", lambda: "trial" not in running_release(bench), 120, 1.0)
        steps.remark(f"release {running_release(bench)}")
        assert running_release(bench) != "factory"


def test_an_update_that_fails_is_taken_back(bench: Bench, steps: Steps) -> None:
    before = running_release(bench)
    with steps.step("signed update that never gets ready: tried, taken back, ready again"):
        bench.pi.shell.run(f"dictate update {TOOLS}/fails.update", 600)
        bench.pi.until("the release before", lambda: running_release(bench) == before, 900, 2.0)
        bench.pi.until_ready(400)
        said = bench.pi.shell.run("journalctl -b --no-pager -u dictate | grep -o 'did not become ready; back to.*'")
        steps.remark(said.strip())
    with steps.step("press, speak, release, words typed by the release before"):
        dictated(bench, "one.wav")


def test_the_board_switches_itself_off(bench: Bench, steps: Steps) -> None:
    """Without a microphone, for the emulator's sake: what it hears is found tens of seconds late.

    The release is taken in its place among the sound, since words in what has not been heard yet would make the press
    a dictation; so with a microphone the emulator would first hear the whole press.
    """
    pi = bench.pi
    with steps.step("microphone removed"):
        remove_microphone(bench)
    with steps.step("button held: switched off"):
        service = "systemctl show -P MainPID dictate"
        before = pi.shell.run(service)
        pi.button.press()
        pi.until("the LED that says: let go", lambda: pi.leds_say(3.0)[READY] == "blinking", 240)
        assert pi.shell.run(service) == before, "the LED blinked because the service was started again"
        pi.button.release()
        pi.machine.wait_off(300)

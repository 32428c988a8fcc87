"""No secret leaves the harness: twenty kinds are planted, and looked for in all that people and programs are given."""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from click.testing import CliRunner

from harness import redaction
from harness.cli import cli
from harness.cli.settings import CommandError, Settings
from harness.errors import DeviceError, HarnessError, StoreError
from harness.lab import read_device
from harness.model import Campaign, Measurement, Outcome, Reason
from harness.page.publish import publish
from harness.redaction import redacted
from harness.store import Place, Store
from tests import labs
from tests.made_runs import a_run
from tests.pages import stored_runs
from tests.pages.stored_runs import STARTED

#: What people write, and what of it nobody else may read.
PLANTED = (
    ("postgresql://bench:first-Secret1@db/night", "first-Secret1"),
    ("postgresql://bench:second secret 2@db:5432/night", "second secret 2"),
    ("postgresql://bench:third@sec'ret\"3@db/night", "third@sec'ret\"3"),
    ("postgresql://db/night?user=bench&password=fourth-Secret4&connect_timeout=3", "fourth-Secret4"),
    ("postgresql://db/night?sslpassword=fifth%20Secret5&sslkey=client.key", "fifth%20Secret5"),
    ("host=db passwd='sixth secret \\' 6' user=bench", "sixth secret \\' 6"),
    ("postgresql://db/night?options=-c%20password%3Dseventh-Secret7", "seventh-Secret7"),
    ("Driver={PostgreSQL};Server=db;PWD=eighth-Secret8", "eighth-Secret8"),
    ("watts --password 'ninth secret 9' --channel 1", "ninth secret 9"),
    ("watts --api-key=tenth-Secret10 --channel 1", "tenth-Secret10"),
    ("sshpass -p 'eleventh secret 11' ssh pi@board", "eleventh secret 11"),
    ("curl -u bench:twelfth-Secret12 http://plug/off", "twelfth-Secret12"),
    ("curl -H 'Authorization: Bearer thirteenth.Secret-13' http://plug/off", "thirteenth.Secret-13"),
    ("curl -H 'X-Api-Key: fourteenth-Secret14' http://plug/off", "fourteenth-Secret14"),
    ("PGPASSWORD=fifteenth-Secret15 psql", "fifteenth-Secret15"),
    ('{"client_secret": "sixteenth secret 16", "user": "bench"}', "sixteenth secret 16"),
    ("AWS_SECRET_ACCESS_KEY=seventeenth/Secret+17", "seventeenth/Secret+17"),
    ("it said AKIAEIGHTEENTHKEY018 and went", "AKIAEIGHTEENTHKEY018"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nbmluZXRlZW50aA==\n-----END OPENSSH PRIVATE KEY-----", "bmluZXRlZW50aA=="),
    ("https://ghp_twentieth0123456789abcdefghij@github.com/lab.git", "ghp_twentieth0123456789abcdefghij"),
    ("https://store/blob?sv=2024&sig=twentyfirst%2BSecret21&se=2027", "twentyfirst%2BSecret21"),
    ("passphrase = \"twentysecond secret 22\"", "twentysecond secret 22"),
    ("token: Twenty3rd-Secret", "Twenty3rd-Secret"),
)  # fmt: skip
#: What looks a little like it and must stay readable.
HARMLESS = (
    "cannot open https://pypi.org:8080/simple; ask bob@example.org",
    "a password must not stand in a file; remove it and let the device know a key of yours",
    "devices/pi5.toml: ssh.identity: needs a passphrase: add it to the agent",
    "ssh://pi@board:22 and ssh://board:2222/path",
    "PWD=/home/bench compass=north tokens=5 author=me",
    "it keeps 12 tokens: none is a secret",
    "pi5: parts pass: int8",
    "pi5: timed pass: launch 3, 2 of 3 ratios known",
    "pi5: memory pass 2 of 5: resnet18-int8",
    "pytest suites --store sqlite:////data/night.sqlite --device pi5",
)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every test begin without registered values, and leave none to the others."""
    monkeypatch.setattr(redaction, "_given", set())
    monkeypatch.setattr(redaction, "_spelled", None)
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(("text", "secret"), PLANTED)
def test_a_secret_is_hidden_and_what_stands_around_it_stays(text: str, secret: str) -> None:
    shown = redacted(f"here: {text}; look there")
    assert secret not in shown
    assert not any(part in shown for part in secret.split() if len(part) > 6)
    assert redaction.HIDDEN in shown
    assert shown.startswith(f"here: {text.split()[0][:5]}")
    assert redacted(shown) == shown, "twice is as good as once"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("text", ["x=" * 50_000, "a" * 100_000, "//" * 30_000, "password" * 5_000, "//a:" * 9_000])
def test_a_long_text_is_read_in_time_that_grows_with_its_length(text: str) -> None:
    # Without a bound on time: a search that is quadratic in this would outlast the whole suite.
    assert isinstance(redacted(text), str)


def test_a_command_line_keeps_its_words_and_loses_the_secrets_in_them() -> None:
    url = "postgresql://u:it's a secret@h/db?sslpassword=an other&x=1"
    shown = shlex.split(redaction.command(["pytest", "--store", url, "--token", "a b", "-k", "c"]))
    assert shown[1:3] == ["--store", "postgresql://u:***@h/db?sslpassword=***&x=1"]
    assert shown[3:] == ["--token", "***", "-k", "c"]


@pytest.mark.parametrize("spelled", [
    "pass word/7", quote("pass word/7"), quote("pass word/7", safe=""), "pass+word%2F7", json.dumps("pass word/7"),
])  # fmt: skip
def test_what_was_given_as_a_secret_is_hidden_however_it_is_spelled(spelled: str) -> None:
    redaction.register("pass word/7")
    assert redacted(f"the server said {spelled}.").replace('"', "") == "the server said ***."


def test_names_of_the_lab_survive_a_password_of_the_same_letters() -> None:
    redaction.register("pi5-lab")
    kept = redaction.cleaned({"device": "pi5-lab", "text": "pi5-lab is hot", "password": "x", "argv": ["--token", "y"]})
    assert kept == {"device": "pi5-lab", "text": "*** is hot", "password": "***", "argv": ["--token", "***"]}


def test_a_secret_of_a_device_file_is_in_no_error_about_the_device(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    meter = '[meter]\nkind = "command"\nargv = ["/usr/bin/watts", "--password", "correct horse"]\n'
    file = tmp_path / "devices" / "here.toml"
    file.write_text(labs.device_toml(workdir=tmp_path, runtimes=[], more=meter))
    device = read_device(file)
    assert device.meter is not None
    assert "correct horse" in device.meter["argv"], "the meter itself needs it"
    error = DeviceError("watts: login with 'correct horse' failed", device="here", remedy="try correct%20horse")
    assert "horse" not in str(error) + error.text + error.remedy


def test_variables_that_are_named_as_secrets_are_hidden_and_switches_are_not() -> None:
    redaction.learn_environment({
        "CI_JOB_TOKEN": "0123456789abcdef", "USE_TOKEN": "true", "INDEX": "https://u:letmein9@pypi/",
        "PWD": "/home/bench",
    })  # fmt: skip
    assert redacted("0123456789abcdef true letmein9 /home/bench") == "*** true *** /home/bench"


def test_log_records_of_any_library_carry_none(caplog: pytest.LogCaptureFixture) -> None:
    redaction.guard_logging()
    redaction.guard_logging()
    with caplog.at_level(logging.INFO):
        logging.getLogger("some.library").info("connecting to %s", "postgresql://u:hunter2@h/db")
        logging.getLogger("some.library").info("100 %d", 7)
    assert caplog.messages == ["connecting to postgresql://u:***@h/db", "100 7"]


def test_threads_that_register_at_once_lose_none() -> None:
    secrets = [f"secret-number-{number:03d}" for number in range(64)]
    threads = [threading.Thread(target=redaction.register, args=(one,)) for one in secrets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redacted(" ".join(secrets)) == " ".join([redaction.HIDDEN] * 64)


def test_nothing_that_was_planted_is_in_store_report_export_error_or_terminal(tmp_path: Path) -> None:
    everything = "; ".join(text for text, _ in PLANTED)
    command = redaction.command(["pytest", *(text for text, _ in PLANTED)])
    environment = {"edgeward": "0.1.0", "plan": everything, "password": "twenty fourth"}
    campaign = Campaign("night", STARTED, command, {"us": stored_runs.SUITE}, environment)
    file = tmp_path / "night.sqlite"
    store = Store(f"sqlite:///{file}", place=Place(f"/labs/{PLANTED[0][0]}"))
    store.add_campaign(campaign)
    run = replace(
        a_run("run", np.full((3, 8), 0.01)),
        campaign=campaign.id,
        reasons=(Reason(everything, everything),),
        notes={"remarks": [text for text, _ in PLANTED]},
        fingerprint={"tool": everything},
        measurements={"energy_j": Measurement("energy_j", "J", np.zeros(0), absent_reason=f"it said {everything}")},
    )
    store.add_case(campaign.id, run, ())
    # Of another campaign, which has no chart to draw.
    store.add_campaign(replace(campaign, id="broken", started_at=STARTED + timedelta(days=1)))
    error = DeviceError(everything, device="pi5", remedy=everything)
    store.add_outcome("broken", Outcome("us", "error", reasons=(Reason(error.text, error.remedy),)))
    store.note("exported", detail=everything)
    page = publish(store, store.campaigns()[0], tmp_path / "html", overrides=tmp_path / "none", say=print)
    store.close()
    with contextlib.redirect_stderr(None):
        done = CliRunner().invoke(
            cli, ["export", "--format", "json", "--store", f"sqlite:///{file}"], obj=Settings(), prog_name="edgeward"
        )
    assert done.exit_code == 0, done.output
    refused = CommandError(everything)
    shown = {
        "store": file.read_bytes().decode("utf-8", "replace"),
        "report": page.read_text(),
        "export": done.output,
        "error": str(error) + error.text + error.remedy,
        "terminal": _printed(refused, tmp_path),
    }
    for place, text in shown.items():
        found = [
            secret
            for _, secret in (*PLANTED, ("", "twenty fourth"))
            if secret in text or json.dumps(secret)[1:-1] in text
        ]
        assert found == [], place


def _printed(error: CommandError, folder: Path) -> str:
    with (folder / "printed").open("w") as file:
        error.show(file)
    return (folder / "printed").read_text()


@pytest.mark.parametrize(("url", "secret"), [one for one in PLANTED if one[0].startswith("postgresql:")])
def test_a_store_that_cannot_be_opened_names_its_place_and_no_secret(url: str, secret: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert secret not in str(caught.value)
    later = HarnessError(f"the server said: no user with {secret}")
    assert secret not in str(later), "also where another part repeats it"


def test_pytest_shows_no_secret_of_its_command_line(tmp_path: Path) -> None:
    url = "postgresql://bench:correct horse/7@127.0.0.1:1/night?sslpassword=battery staple"
    done = labs.run_pytest(labs.make(tmp_path), "suites", "--device", "here", "--store", url, "-vv")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "cannot open the store postgresql://bench:***@127.0.0.1:1/night" in done.stdout
    for part in ("correct", "horse", "battery", "staple"):
        assert part not in done.stdout + done.stderr

"""A link that is cut while things are brought to the device: connected again, brought whole, nothing false recorded."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from tests.faults.campaigns import Night
from tests.labs import make


def test_a_link_cut_while_a_runtime_is_pushed_is_made_again(tmp_path: Path, own_server: Server) -> None:
    lab = make(tmp_path / "lab")
    own_server.write_device(lab, id="far", runtimes=["onnxruntime==1.31.1"])
    cuts: list[str] = []

    def cut_while_pushed() -> None:
        # A part file appears while a tar is on its way; the first ones are the small agent's.
        arriving = own_server.workdir / "runtimes"
        for _ in range(2):
            if soon(lambda: [p for p in arriving.rglob(".edgeward-*.part") if p.stat().st_size > 0], within_s=60):
                own_server.signal_sessions(signal.SIGKILL)
                cuts.append("cut")
                soon(lambda: not list(arriving.rglob(".edgeward-*.part")), within_s=10)

    knife = threading.Thread(target=cut_while_pushed)
    knife.start()
    (lab / "devices" / "here.toml").unlink()
    night = Night(lab)
    result = night.measure([lab / "suites" / "small.toml"])["base"]
    knife.join()
    assert len(cuts) == 2
    assert result.outcome.status == "passed", result.outcome.message
    assert any(text.startswith("far: connection lost") for text in night.said)
    (run,) = night.store.runs()
    assert run.validity.value in ("valid", "degraded")
    assert run.notes["retries"]["count"] == len(cuts)
    assert all("was lost" in why for why in run.notes["retries"]["why"])
    assert run.fingerprint["runtime_version"] == "1.31.1"
    assert not list((own_server.workdir / "jobs").iterdir())

"""A link that is cut while things are brought to the device: connected again, brought whole, nothing false recorded."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from harness.store import Store
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
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites", "--device", "far", "--quick"]
    done = subprocess.run(command, cwd=lab, capture_output=True, text=True, timeout=300, check=False)
    knife.join()
    assert len(cuts) == 2
    assert "1 passed" in done.stdout, done.stdout
    assert "far: link lost" in done.stdout
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    (run,) = store.runs()
    store.close()
    assert run.validity.value in ("valid", "degraded")
    assert run.fingerprint["runtime_version"] == "1.31.1"
    assert not list((own_server.workdir / "jobs").iterdir())

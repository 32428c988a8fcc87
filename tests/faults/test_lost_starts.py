"""A link that is lost while a job is started: started again, and never twice."""

from __future__ import annotations

import shutil
import signal
import threading
from pathlib import Path

import pytest

from devices.virtual.openssh import login_environment, openssh
from devices.virtual.waiting import soon
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

#: In the place of python3 on the device; only the first start of a job is special.
_SLOW = """#!/bin/sh
case " $* " in *" run "*)
  if mkdir "{folder}/first" 2>/dev/null; then
    {begin}
    : > "{folder}/first/now"
    sleep 2
  fi ;;
esac
exec {python} "$@"
"""


@pytest.mark.parametrize("moment", ["before the job has begun", "after it has begun"])
def test_a_link_lost_while_a_job_is_started_costs_nothing(moment: str, device_workdir: Path, tmp_path: Path) -> None:
    variables = login_environment()
    python = shutil.which("python3", path=variables["PATH"])
    tools = tmp_path / "bin"
    tools.mkdir()
    begin = f'{python} "$@"' if moment.startswith("after") else ":"
    (tools / "python3").write_text(_SLOW.format(folder=tmp_path, begin=begin, python=python))
    (tools / "python3").chmod(0o755)
    suite = small.write_suite(tmp_path, "plain", ("good", small.good))
    variables["PATH"] = f"{tools}:{variables['PATH']}"
    with openssh(tmp_path / "server", environment=variables) as server:
        server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
        cuts: list[int] = []

        def cut() -> None:
            if soon((tmp_path / "first" / "now").exists, within_s=60):
                cuts.append(len(list(device_workdir.glob("jobs/*/pid"))))
                server.signal_sessions(signal.SIGKILL)

        knife = threading.Thread(target=cut)
        knife.start()
        night = Night(tmp_path)
        results = night.measure([suite])
        knife.join()
    assert len(cuts) == 1, "the link was not cut: the test is void"
    assert any("connection lost" in text for text in night.said)
    assert results["good"].outcome.status == "passed", results["good"].error
    run = results["good"].run
    assert run is not None
    assert len(run.measurements["load_s"].values) == 2, "two conductors would have made four"
    assert run.notes["launches"] == 4

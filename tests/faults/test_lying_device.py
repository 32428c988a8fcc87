"""A device that lies of one model: that case is an error which names the lie, and the others are measured as ever."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from harness.errors import MeasurementError
from tests import small_models as small
from tests.faults.campaigns import Night

#: A Python that makes the loading times of the second model negative in what a follower hears; in as many bytes.
LIAR = """#!/bin/sh
case " $* " in
  *" follow "*) {python} "$@" | sed -u '/"event": "cold".*"model": 1/s/"load_ns": /"load_ns":-/' ;;
  *) exec {python} "$@" ;;
esac
"""


def test_a_lie_is_stored_as_the_error_of_its_case_and_the_next_case_passes(
    device_workdir: Path, tmp_path: Path
) -> None:
    suite = small.write_suite(tmp_path, "lies", ("good", small.good), {"slower": small.slower})
    shim = tmp_path / "python3"
    shim.write_text(LIAR.format(python=shlex.quote(sys.executable)))
    shim.chmod(0o755)
    small.write_device(tmp_path, "liar", workdir=device_workdir, more=f'python = "{shim}"\n')
    night = Night(tmp_path)
    found = night.measure([suite])
    error = found["slower"].error
    assert isinstance(error, MeasurementError)
    assert "slower.onnx" in error.text
    assert "load_ns" in error.text
    assert found["good"].run is not None
    outcomes = {
        one.about.variant: one.status for one in night.store.outcomes(night.store.campaigns()[0].id) if one.about
    }
    assert outcomes == {"good": "passed", "slower": "error"}
    night.store.close()

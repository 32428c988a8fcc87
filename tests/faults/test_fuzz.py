"""Mutants of good files are read or refused in one message with a remedy; EDGEWARD_FUZZ_S feeds each reader so long."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzzed_readers import READERS

#: For how long each reader is fed, s; `make nightly` feeds it for ten minutes, with mutants of that night's own.
LONG = os.environ.get("EDGEWARD_FUZZ_S", "")
SEED = random.SystemRandom().randrange(10**6) if LONG else 7
#: Else the same mutants everywhere, however fast the machine is, for a test that fails must fail again; fewer for those
#: that read a whole store or make a bundle.
MUTANTS = {"store": 40, "spool": 5, "evidence": 2, "manifest": 12, "folder": 100, "npz": 100}
USUAL = 250


@pytest.mark.parametrize("name", READERS)
def test_a_mutant_of_a_good_file_is_read_or_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    seconds, most = (float(LONG), 10**9) if LONG else (600.0, MUTANTS.get(name, USUAL))
    command = [sys.executable, "-m", "tests.fuzzing", name, str(seconds), str(most), str(SEED), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, f"the reader ended its process with {done.returncode}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    findings = list(found["findings"].values())
    print(f"\n{name}: {found['mutants']} mutants, {found['taken']} taken, {len(findings)} findings")
    assert not findings, "\n".join(findings)

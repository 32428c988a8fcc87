"""Mutants of good files are read or refused in one message with a remedy: every reader, `EDGEWARD_FUZZ_S` s each."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzzed_readers import READERS

#: For how long each reader is fed, s; `make nightly` feeds it for ten minutes.
SECONDS = float(os.environ.get("EDGEWARD_FUZZ_S", "2"))
#: Fixed in CI, where a test that fails must fail again; a night of its own sees mutants of its own.
SEED = 7 if "EDGEWARD_FUZZ_S" not in os.environ else random.SystemRandom().randrange(10**6)


@pytest.mark.parametrize("name", READERS)
def test_a_mutant_of_a_good_file_is_read_or_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzzing", name, str(SECONDS), str(SEED), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, f"the reader ended its process with {done.returncode}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    findings = list(found["findings"].values())
    print(f"\n{name}: {found['mutants']} mutants, {found['taken']} taken, {len(findings)} findings")
    assert not findings, "\n".join(findings)

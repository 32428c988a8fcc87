"""One real round of Flower over virtual hosts: the server's weights are the mean of the clients', by their images."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from devices.virtual import federated, fleet
from devices.virtual.requirements import require
from harness import lab
from tests.devices.test_local_steps import written


def test_a_round_ends_with_the_mean_of_the_weights_weighted_by_images(tmp_path: Path) -> None:
    require(*fleet.NEEDS, "extra:train=onnx2torch")
    flower = os.environ.get("EDGEWARD_FLOWER", "")
    if not flower:
        require("apart:federated=flwr")
    suite = lab.read_suite(written(tmp_path / "lab", "learning_rate = 0.05\nbatch = 8"))
    found = federated.run(suite, tmp_path, hosts=2, flower=flower or sys.executable)
    print(f"\n{found}")
    assert found.images == (32, 64)
    assert found.apart < 1e-3
    assert found.unweighted > 10 * found.apart

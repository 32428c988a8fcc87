"""The baseline of `cine.toml`: convolutions of each of eight frames, and a gated recurrent unit over them.

    OMP_NUM_THREADS=1 python suites/models/cine.py

see `baselines.py`. Accuracy on the test split: 0.787 (95 % interval 0.705 to 0.854), sensitivity 0.835, AUROC of one
class against the rest 0.916, seed 7; one training. Synthetic loops: the suite is there for its 30 frames a second.
"""

from __future__ import annotations

from functools import partial

import baselines
from architectures.recurrent import FramesRecurrent

from harness.recipes._training import Schedule

BASELINE = baselines.Baseline(
    suite="cine",
    make=partial(FramesRecurrent, classes=3),
    # Frames of one loop are much alike: few passes over many of them.
    schedule=Schedule(epochs=30, learning_rate=6e-3),
)

if __name__ == "__main__":
    baselines.main(BASELINE)

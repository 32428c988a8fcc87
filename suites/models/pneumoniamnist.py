"""The baseline of `pneumoniamnist.toml`: ResNet-18 with 8 filters in its first stage, on chest X-rays.

    EDGEWARD_MEDMNIST=FOLDER OMP_NUM_THREADS=1 python suites/models/pneumoniamnist.py --seeds 3

see `baselines.py`. One pass over the images. On the test split, seed 7: accuracy 0.880 (95 % interval 0.852 to 0.903),
AUROC 0.954; seed 8: 0.894 (0.868 to 0.916), 0.955; seed 9: 0.877 (0.849 to 0.900), 0.949. Published for ResNet-18 at
full width: 0.854, AUROC 0.944 (MedMNIST v2).
"""

from __future__ import annotations

from functools import partial

import baselines
from architectures.resnet import resnet18

from harness.recipes._training import Schedule

BASELINE = baselines.Baseline(
    suite="pneumoniamnist",
    make=partial(resnet18, channels=1, classes=2, width=8),
    schedule=Schedule(epochs=1, learning_rate=3e-3, batch=32),
)

if __name__ == "__main__":
    baselines.main(BASELINE)

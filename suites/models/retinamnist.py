"""The baseline of `retinamnist.toml`: ResNet-18 with 8 filters in its first stage, on photographs of the retina.

    EDGEWARD_MEDMNIST=FOLDER OMP_NUM_THREADS=1 python suites/models/retinamnist.py --seeds 3

see `baselines.py`. On the test split, seed 7: accuracy 0.503 (95 % interval 0.454 to 0.551), quadratic kappa 0.491
(0.397 to 0.575), mean AUROC 0.700; seed 8: 0.540 (0.491 to 0.588), 0.531 (0.437 to 0.612), 0.740; seed 9: 0.518 (0.469
to 0.566), 0.493 (0.400 to 0.571), 0.699. Published for ResNet-18 at full width: 0.524, AUROC 0.717 (MedMNIST v2).
"""

from __future__ import annotations

from functools import partial

import baselines
from architectures.resnet import resnet18

from harness.recipes._training import Schedule

BASELINE = baselines.Baseline(
    suite="retinamnist",
    make=partial(resnet18, channels=3, classes=5, width=8),
    schedule=Schedule(epochs=6, learning_rate=4e-3, batch=32),
)

if __name__ == "__main__":
    baselines.main(BASELINE)

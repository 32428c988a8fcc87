"""Campaigns in this process, to which something is done at a known moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import lab
from harness.deploy.handle import PATIENCE_S
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.store import Store


@dataclass
class Night:
    """A lab whose suites are measured on all its devices; `said` is what was reported meanwhile."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(f"sqlite:///{self.folder}/results.sqlite")

    def measure(
        self,
        suites: Sequence[Path],
        when: Callable[[str], None] = lambda _: None,
        *,
        resume: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> dict[str, Result]:
        """Measure all cases, quickly, and return {variant: result}.

        Args:
            suites: their files.
            when: is given what is said, as it is said.
            resume: whether only what an interrupted campaign left is measured.
            patience_s: how long a lost device is looked for; s.
        """

        def say(device: str, text: str) -> None:
            self.said.append(f"{device}: {text}")
            when(text)

        devices = lab.select(self.folder, ["all"])
        cases = [case for suite in suites for case in lab.cases(lab.read_suite(suite), devices)]
        settings = Settings(command="pytest", say=say, quick=True, resume=resume, patience_s=patience_s)
        campaign = CampaignRunner(cases, self.store, settings)
        try:
            return {case.variant.id: campaign.future(case).result(300) for case in cases}
        finally:
            campaign.stop()

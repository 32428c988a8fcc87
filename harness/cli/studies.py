"""What a search has tried on one device with one runtime, and what it tries next: an Optuna study, kept in a file.

Every proposal is in the file before anything is built and every attempt the moment it is known, so that a search that
was killed goes on: what had been proposed and has no result is tried again, and the sampler, which is seeded anew for
each proposal with the number of those before it, proposes what it would have proposed.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import HarnessError, StoreError
from harness.lab.space import Free, Search
from harness.model import Estimate
from harness.vocabulary import METRICS

#: Proposals of what was tried already before another one is drawn among what is left.
_REPEATS: Final = 20
#: Attempts that are drawn at random before those that went well are looked at.
_STARTUP: Final = 8
_ATTEMPT, _CANDIDATE, _VALUES, _BEGUN = "attempt", "candidate", "values", "begun"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate that shall be tried.

    Attributes:
        number: of the attempt.
        candidate: its id.
        family: the id of its `[[space]]`.
        values: name of a free parameter -> value.
        begun: how often it was begun and did not come to an end.
    """

    number: int
    candidate: str
    family: str
    values: Mapping[str, Any]
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a candidate.

    Attributes:
        number: of the attempt.
        candidate: its id.
        family: the id of its `[[space]]`.
        values: name of a free parameter -> value.
        status: "accepted", "undecided" or "refused" by `[accept]`, "dropped" in the race, or "failed".
        said: why, in one line.
        cost: over the baseline's; None where it has none.
        change: candidate minus baseline in the goal's accuracy, on the same images; None where it has none.
        campaign: in which it was measured, "" if it was not.
        run: its run there.
        seconds: what building it and its share of the race took.
        missed: how many lines of `[accept]` it does not keep.
    """

    number: int
    candidate: str
    family: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: str = "failed"
    said: str = ""
    cost: Estimate | None = None
    change: Estimate | None = None
    campaign: str = ""
    run: str = ""
    seconds: float = 0.0
    missed: int = 0


class Study:
    """The attempts of one search in one place.

    Args:
        file: of the studies; SQLite.
        name: of this one: suite, device and runtime, and a digest of what decides on its results.
        search: what may be tried.
        seed: of the sampler.

    Raises:
        HarnessError: Optuna is not installed.
        StoreError: the file cannot be opened.
    """

    def __init__(self, file: Path, name: str, search: Search, seed: int) -> None:
        self.name, self._search, self._seed = name, search, seed
        try:
            import optuna
        except ImportError as error:
            raise HarnessError(
                "a search needs Optuna, which is not installed", remedy='pip install "edgeward[search]"'
            ) from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._storage = optuna.storages.RDBStorage(
                f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": 30}}
            )
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, directions=["minimize", "minimize"], load_if_exists=True
            )
            self._id = self._storage.get_study_id_from_name(name)
        except (OSError, optuna.exceptions.StorageInternalError) as error:
            raise StoreError(f"{file}: cannot be opened ({error})", remedy="make room there, or remove it") from error

    def attempts(self) -> list[Attempt]:
        """Return what was tried, in the order in which it was proposed."""
        return [attempt_of(one.user_attrs[_ATTEMPT]) for one in self._trials() if _ATTEMPT in one.user_attrs]

    def left(self) -> list[Proposal]:
        """Return what was proposed and has no result, because the search ended before."""
        found = []
        for one in self._trials():
            if one.state.is_finished():
                continue
            if _ATTEMPT in one.user_attrs:  # it ended between the two writes of `tell`
                self.tell(attempt_of(one.user_attrs[_ATTEMPT]))
            elif _CANDIDATE in one.user_attrs:
                found.append(_proposal(one.number, one.user_attrs))
            elif one.state is not self._optuna.trial.TrialState.WAITING:
                self._study.tell(one.number, state=self._optuna.trial.TrialState.FAIL)
        return found

    def begin(self, proposal: Proposal) -> None:
        """Keep that a proposal is tried now."""
        self._keep(proposal.number, _BEGUN, proposal.begun + 1)

    def propose(self, count: int) -> list[Proposal]:
        """Return up to `count` candidates that were not tried here, fewer where there are no more."""
        found: list[Proposal] = []
        for _ in range(count):
            known = {one.user_attrs.get(_CANDIDATE) for one in self._trials()}
            proposal = self._first(known) or self._asked(known) or self._other(known)
            if proposal is None:
                break
            found.append(proposal)
        return found

    def tell(self, attempt: Attempt) -> None:
        """Keep what became of a proposal."""
        self._keep(attempt.number, _ATTEMPT, asdict(attempt))
        values = self._objectives(attempt)
        self._study.tell(attempt.number, values, state=None if values else self._optuna.trial.TrialState.FAIL)

    def _objectives(self, attempt: Attempt) -> list[float] | None:
        """Return cost and loss of accuracy, both to be small; None where one of them is not known."""
        if attempt.cost is None or attempt.change is None:
            return None
        sign = 1 if METRICS[self._search.accuracy].lower_is_better else -1
        return [attempt.cost.point, sign * attempt.change.point]

    def _keep(self, number: int, key: str, value: Any) -> None:
        trial = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        self._storage.set_trial_user_attr(trial, key, value)

    def _trials(self) -> Any:
        return self._study.get_trials(deepcopy=False)

    def _first(self, known: set[str]) -> Proposal | None:
        """Return a candidate of a family of which none was tried yet: a sampler learns nothing of what it never saw."""
        seen = {one.user_attrs["family"] for one in self._trials() if _CANDIDATE in one.user_attrs}
        for family in self._search.families:
            if family.id not in seen:
                self._study.enqueue_trial({"family": family.id})
                return self._asked(known)
        return None

    def _asked(self, known: set[str]) -> Proposal | None:
        for _ in range(_REPEATS):
            trial = self._ask()
            family = self._search.family(trial.suggest_categorical("family", [one.id for one in self._search.families]))
            values = {one.name: _suggested(trial, family.id, one) for one in family.free}
            candidate = family.candidate(values).id
            if candidate in known:
                self._repeated(trial, candidate)
                continue
            trial.set_user_attr("family", family.id)
            trial.set_user_attr(_VALUES, values)
            trial.set_user_attr(_CANDIDATE, candidate)
            return Proposal(trial.number, candidate, family.id, values)
        return None

    def _ask(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=self._seed + len(self._trials()), n_startup_trials=_STARTUP, constant_liar=True
            )
        return self._study.ask()

    def _repeated(self, trial: Any, candidate: str) -> None:
        """Let the sampler know of a repeated candidate what is known of it, which costs nothing."""
        before = next((one for one in self.attempts() if one.candidate == candidate), None)
        values = self._objectives(before) if before is not None else None
        self._study.tell(trial, values, state=None if values else self._optuna.trial.TrialState.FAIL)

    def _other(self, known: set[str]) -> Proposal | None:
        """Return a candidate that the sampler does not come to by itself, None if there is none."""
        if self._search.size is None:
            return None
        left = [pair for pair in self._every() if self._search.family(pair[0]).candidate(pair[1]).id not in known]
        if not left:
            return None
        family, values = random.Random(self._seed + len(known)).choice(left)
        free = {one.name: one for one in self._search.family(family).free}
        fixed = {f"{family}.{name}": _stored(free[name], value) for name, value in values.items()}
        self._study.enqueue_trial({"family": family, **fixed})
        return self._asked(known)

    def _every(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for family in self._search.families:
            for values in family.all():
                yield family.id, values


def attempt_of(kept: Mapping[str, Any]) -> Attempt:
    """Return an attempt from what `tell` keeps of it."""
    estimates = {name: Estimate(**kept[name]) if kept[name] else None for name in ("cost", "change")}
    return Attempt(**{**kept, **estimates})


def _proposal(number: int, kept: Mapping[str, Any]) -> Proposal:
    return Proposal(number, kept[_CANDIDATE], kept["family"], kept[_VALUES], kept.get(_BEGUN, 0))


def _suggested(trial: Any, family: str, free: Free) -> Any:
    name = f"{family}.{free.name}"
    if free.values:
        # By its place: Optuna keeps numbers and texts alone, and a value may be a list.
        return free.values[trial.suggest_categorical(name, list(range(len(free.values))))]
    if free.whole:
        return trial.suggest_int(name, free.low, free.high, log=free.log)
    return float(f"{trial.suggest_float(name, free.low, free.high, log=free.log):.3g}")


def _stored(free: Free, value: Any) -> Any:
    return free.values.index(value) if free.values else value

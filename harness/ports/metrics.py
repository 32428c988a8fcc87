"""What answers are worth."""

from __future__ import annotations

from typing import Protocol

from harness.model import Answers, Estimate, Evaluation, Samples, Task, Truth


class Metric(Protocol):
    """harness/metrics/TASK_KIND.py: answers -> estimates, and the paired comparison of two models.

    A kind may also have `fits(output, samples, columns)`, which says of an output in a model's file whether it has the
    shape of answers to this task: True, False, or None where the file does not say. Without it, which of several
    outputs is judged must be declared. `needs_kind(output)` says whether answers depend on what the numbers of an
    output stand for; without it they do not. `compact(answers)` may give the same answers in fewer bytes, for the
    store. `TASK_KEYS` names the keys of `[task]` that have a part in it beside `kind` and `positive`; a suite that sets
    another is refused. `SEVERAL_LABELS = True` is that of a kind whose truth is (N, K), any number of labels an image;
    it has `by_label(answers, samples)`, which yields what a model is worth for each, and `flips(reference, own, near)`:
    of how many images a label is not the host's, and how many of those by a tie. `unreadable(reading)` says why answers
    that are read so are none, or "". `labels_of(answers, classes)` may give the class of each image, by which the
    sensitivity of each class is reported. `called(answers, truth, task)` may give what each image is and what a model
    calls it; a suite of such a kind may ask for `examples`.
    A kind with operating points has `threshold(answers, samples, task)`, which returns the threshold and in words what
    it reaches, and `no_threshold(reading)`: why none can decide a model's answers, or "".
    A kind that can be measured under `[robustness]` has `per_image(answers, truth, task)`, (N,) numbers from 0 to 1
    whose mean is the accuracy that it names as `CHIEF`; one with occlusion maps has
    `sureness(answers, classes, chosen)`, (N,) how sure a model is of a chosen class. For the report, `roc(answers,
    truth, task)` may give the (M, 2) corners of the ROC curve and `reliability(answers, truth, most)` how often a model
    is right where it is about equally sure, in at most so many bins; both are drawn where a kind has them.

    Attributes:
        PATIENTS: whether its intervals are of patients where the samples, or the truth, have groups: images of one
            patient say much the same. One that has no such intervals is not asked to compare them.
    """

    PATIENTS: bool

    def evaluate(self, answers: Answers, samples: Samples, task: Task) -> Evaluation:
        """Return what a model's answers are worth; raises MeasurementError if they do not fit the samples.

        Args:
            answers: (N, ...) float32 in the split's order, and how they are read.
            samples: the split.
            task: what the model is for.
        """

    def compare(self, baseline: Answers, run: Answers, truth: Truth, task: Task, metric: str) -> Estimate | None:
        """Return run minus baseline in one metric, paired on the same images, or None where it has none.

        Args:
            baseline: what the baseline gave.
            run: what the run gave, for the same images.
            truth: of these images.
            task: what the models are for.
            metric: a name of `harness.vocabulary.METRICS`.
        """

    def agreement(self, baseline: Answers, run: Answers) -> Estimate:
        """Return how far two models' answers to the same images say the same, 0..1."""

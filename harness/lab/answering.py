"""Which output of a model is judged, what its numbers stand for, and in which order its classes come."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from harness import registry
from harness.errors import LabError
from harness.formats import ModelFile, Tensor
from harness.lab.feeding import INTEGERS
from harness.lab.held import Held, listed, quoted, table, words
from harness.model import Reading


class Answering(Held):
    """The outputs of one model."""

    def read(self, file: ModelFile) -> tuple[Reading, tuple[str, ...], tuple[float, int]]:
        """Return which output is judged and how, what its answers are called, and what its integers stand for."""
        chosen = self._chosen(file)
        classes = self._classes(file, chosen)
        kind = self._kind(chosen)
        if kind == "labels" and self._fits(replace(chosen, kind=kind), file) is False:
            raise self._wrong_shape(chosen)
        several = getattr(self.metrics, "SEVERAL_LABELS", False)
        if "threshold" in self.declared and len(self.samples.classes) != 2 and not several:
            raise self.refusal(
                f"cannot have a threshold: the data has {len(self.samples.classes)} classes, and the largest decides",
                remedy="remove it",
                key="output.threshold",
            )
        named = chosen.name if len(file.outputs) > 1 else ""
        labels = chosen.labels if chosen.type in ("text", "map") or (kind == "labels" and chosen.labels) else ()
        if chosen.type in INTEGERS and kind not in ("labels", "") and chosen.scale == 0:
            raise self.refusal(
                f"gives {chosen} without saying what its integers stand for",
                remedy="export it with quantisation parameters, or with a float32 output",
                key="output",
            )
        # TFLite's interpreter says itself what its integers stand for.
        scaled = file.format == "onnx" and chosen.type in INTEGERS and kind != "labels"
        quantization = (chosen.scale, chosen.zero_point) if scaled else (0.0, 0)
        reading = Reading(named, kind, self.declared.get("threshold", 0.5), classes)
        if reason := getattr(self.metrics, "unreadable", lambda _: "")(reading):
            raise self.refusal(reason, remedy="export it with a sigmoid for each, or its logits", key="output.kind")
        return reading, labels, quantization

    def undescribed(self) -> Reading:
        """Return what is declared of the outputs of a model whose format nothing here can read."""
        return Reading(**{**self.declared, "kind": self._kind(Tensor("", "float32"))})

    def _chosen(self, file: ModelFile) -> Tensor:
        named = self.declared["output"]
        found = [one for one in file.outputs if one.name == named]
        if named and not found and len(file.outputs) > 1:
            raise self.refusal(
                f"has no output {named!r}, only {listed(file.outputs)}",
                remedy=registry.suggestion(named, [one.name for one in file.outputs]),
                key="output.name",
            )
        if found or len(file.outputs) == 1:
            chosen = (found or list(file.outputs))[0]
            if self._fits(chosen, file) is False:
                raise self._wrong_shape(chosen)
            return chosen
        fitting = [one for one in file.outputs if self._fits(one, file) is not False]
        # A classifier's label is the largest of its scores: both are one answer, of which the scores say more.
        if len({one.source for one in fitting}) == 1:
            fitting = [one for one in fitting if one.kind != "labels" and one.type != "text"] or fitting
        if len(fitting) != 1 or self._fits(fitting[0], file) is None:
            lines = " or ".join(f"output = {{ name = {quoted(one.name)} }}" for one in (fitting or file.outputs)[:4])
            raise self.refusal(
                f"has {len(file.outputs)} outputs, {listed(file.outputs)}, and which one is judged is not said",
                remedy=f"write {lines} under [{table(self.key)}]",
                key="output.name",
            )
        others = [one.name for one in file.outputs if one is not fitting[0]]
        self.remarks.append(f"{self.name}: {fitting[0].name} is judged, {words(others)} cannot be what is asked for")
        return fitting[0]

    def _fits(self, tensor: Tensor, file: ModelFile) -> bool | None:
        fits = getattr(self.metrics, "fits", None)
        if fits is None:
            return None if len(file.outputs) > 1 else True
        known: bool | None = fits(tensor, self.samples, self._columns(file, tensor))
        return known

    def _matters(self, tensor: Tensor) -> bool:
        """Return whether the answers of a task depend on what the numbers of an output stand for."""
        needs = getattr(self.metrics, "needs_kind", None)
        return bool(needs and needs(tensor)) or "threshold" in self.declared

    def _columns(self, file: ModelFile, tensor: Tensor) -> int:
        """Return how many classes an output has: those that are declared or named in the file, else the data's."""
        return len(self.declared.get("classes") or tensor.labels or _named_in(file, tensor) or self.samples.classes)

    def _wrong_shape(self, tensor: Tensor) -> LabError:
        classes = self.samples.classes
        listed = f"{len(classes)} classes ({words(classes)})"
        if self.samples.masks is not None:
            height, width = self.samples.masks.shape[1:]
            return self.refusal(
                f"gives {tensor}, and the masks are {height} x {width} with {listed}",
                remedy="export it with one map a class of that size",
                key="output",
            )
        remedy = f"export it with one output a class, (N, {len(classes)})"
        # The last axis that is more than one is the classes'.
        sizes = [size for size in (tensor.shape or ())[1:] if size not in (None, 1)]
        if len(sizes) == 1 and sizes[0] is not None and sizes[0] > len(classes):
            remedy = (
                f"name all {sizes[0]} in the model's order, with those that the data has no image of: output = "
                f'{{ classes = ["background", "{classes[0]}", …] }} under [{table(self.key)}]'
            )
        return self.refusal(f"gives {tensor}, and the data has {listed}", remedy=remedy, key="output")

    def _kind(self, tensor: Tensor) -> str:
        declared = str(self.declared.get("kind", ""))
        if declared:
            if tensor.kind not in ("", declared):
                self.remarks.append(
                    f"{self.name}: {tensor.name} is read as {declared}, as declared, though its last operations make "
                    f"{tensor.kind} of it"
                )
            return declared
        if tensor.type == "text":
            return "labels"
        if tensor.kind or not self._matters(tensor):
            return tensor.kind
        made = f"it is made by {tensor.maker}" if tensor.maker else "no operator makes it"
        raise self.refusal(
            f"does not say what the numbers of its output {tensor.name!r} stand for: {made}"
            if tensor.name
            else f"is of a format that is not read here (.{self.variant.format})",
            remedy='write output = { kind = "logits" } (or "probabilities", "sigmoid" for a probability of each class '
            f'on its own, "labels") under [{table(self.key)}]',
            key="output.kind",
        )

    def _classes(self, file: ModelFile, tensor: Tensor) -> tuple[str, ...]:
        """Return what the model's outputs are called in its own order, by the data's names where it has one."""
        own = self.samples.classes
        declared = self.declared.get("classes")
        names = tuple(declared or tensor.labels or _named_in(file, tensor))
        if not names:
            return own
        known = {_folded(name): name for name in own}
        matched = tuple(known.get(_folded(name), name) for name in names)
        if set(own) <= set(matched):
            if matched != own and not declared:
                self.remarks.append(
                    f"{self.name} calls its outputs {words(names)}: they are read by these names, not in the data's "
                    f"order ({words(own)})"
                )
            return matched
        numbers = tuple(str(place) for place in range(len(own)))
        # Numbers that count the classes are their places, where the data does not call its classes by other numbers; so
        # are names where the data has none.
        counted = names[: len(own)] == numbers and not all(name.isdecimal() for name in own)
        if counted or own == numbers:
            return (*own, *names[len(own) :])
        lacking = [name for name in own if name not in matched]
        raise self.refusal(
            f"calls its outputs {words(names)}, and the data's classes are {words(own)}: {words(lacking)} are not "
            "found among them",
            remedy=f"write output = {{ classes = [{', '.join(quoted(one) for one in own)}] }} in the model's own "
            f"order under [{table(self.key)}]",
            key="output.classes",
        )


def _named_in(file: ModelFile, tensor: Tensor) -> tuple[str, ...]:
    """Return the names of classes in the file's metadata, if they can be those of an output."""
    sizes = {size for size in (tensor.shape or ())[1:] if size is not None}
    return file.classes if tensor.shape is None or len(file.classes) in sizes else ()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()

"""Numbers and sentences of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..cost import Cost
from ..explain import format_si
from ..figures.style import COMPONENT_NAMES, times

__all__ = [
    "any_modelled",
    "bytes_text",
    "energy_text",
    "error_sentence",
    "interval_texts",
    "percent",
    "ratio_text",
    "time_text",
    "verdict",
]

Document = Mapping[str, Any]


def energy_text(value_pj: float | None) -> str:
    """
    >>> energy_text(923000.0)
    '923 nJ'
    """
    return "not modelled" if value_pj is None else format_si(value_pj * 1e-12, "J")


def time_text(value_s: float | None) -> str:
    return "not modelled" if value_s is None else format_si(value_s, "s")


def bytes_text(value: float | None) -> str:
    return "–" if value is None else format_si(value, "B")


def percent(share: float) -> str:
    """
    >>> percent(0.0812), percent(0.5)
    ('8.12 %', '50 %')
    """
    return f"{100 * share:.3g} %"


def ratio_text(ours: float | None, theirs: float | None, what: str) -> str:
    """How much less `ours` is than `theirs`; empty where one is unknown.

    >>> ratio_text(2.0, 8.0, "energy"), ratio_text(2.0, 1.0, "time"), ratio_text(1.0, 1.0, "time")
    ('4× less energy', '2× more time', 'the same time')
    """
    if not ours or not theirs:
        return ""
    if times(theirs / ours) == "1×":
        return f"the same {what}"
    return f"{times(theirs / ours)} less {what}" if theirs > ours else f"{times(ours / theirs)} more {what}"


def interval_texts(document: Document) -> tuple[str, str]:
    """Energy's and time's interval, such as "80 %: 800 nJ to 1.2 µJ"; empty where the target has none."""
    intervals = document["intervals"]
    if not intervals:
        return "", ""
    level = percent(intervals["level"])
    energy, time = intervals["energy_pj"], intervals["latency_s"]
    return (
        f"{level}: {energy_text(energy[0])} to {energy_text(energy[1])}",
        f"{level}: {time_text(time[0])} to {time_text(time[1])}",
    )


def any_modelled(document: Document) -> bool:
    """Whether the target runs any layer at all; where it runs none, a total of 0 means nothing."""
    return len(document["unmodelled"]) < len(document["layers"])


def _takes(document: Document) -> str:
    totals = document["totals"]
    energy = energy_text(totals["energy_pj_per_inference"])
    if totals["latency_s"] is None:
        return f"takes {energy} (time is not modelled: there is no clock)"
    return f"takes {time_text(totals['latency_s_per_inference'])} and {energy}"


def _against(document: Document, other: Document | None) -> str:
    """Less or more than the baseline; nothing where the two leave out different layers."""
    if other is None or {u["layer"] for u in document["unmodelled"]} != {u["layer"] for u in other["unmodelled"]}:
        return ""
    ours, theirs = document["totals"], other["totals"]
    said = [ratio_text(ours[key], theirs[key], what) for key, what in (("energy_pj", "energy"), ("latency_s", "time"))]
    same = [text for text in said if text.startswith("the same")]
    different = [text for text in said if text and text not in same]
    if not different:
        return f", {' and '.join(same)} as {other['model']}" if same else ""
    return f", {' and '.join(different)} than {other['model']}" + (f" in {same[0]}" if same else "")


def _largest(document: Document) -> str:
    total = document["totals"]["energy_pj"]
    if not total:
        return ""
    parts: Mapping[str, float] = document["energy_by_component_pj"]
    component = max(parts, key=lambda name: parts[name])
    said = f"Largest cost: {COMPONENT_NAMES[component]}, {percent(parts[component] / total)} of the energy"
    layers: Sequence[Document] = [row for row in document["layers"] if row["energy_pj"] is not None]
    if len(layers) > 1:
        layer = max(layers, key=lambda row: row["energy_pj"])
        said += f"; largest layer: {layer['name']}, {percent(layer['energy_pj'] / total)}"
    return f" {said}."


def verdict(document: Document, other: Document | None) -> str:
    """What a reader in a hurry has to know of one model on one target: two sentences."""
    batch = document["batch"]
    if not any_modelled(document):
        return f"On {document['target']}, no layer of {document['model']} is modelled: nothing is known of its cost."
    what = "one inference" if batch == 1 else f"one inference in a batch of {batch:,}"
    said = f"On {document['target']}, {what} of {document['model']} {_takes(document)}{_against(document, other)}."
    if document["partial"]:
        said += f" {len(document['unmodelled'])} of {len(document['layers'])} layers are not modelled and not in this."
    if not document["fits"]:
        said += f" It does not fit: {bytes_text(document['overflow_bytes'])} too large."
    return said + _largest(document)


def error_sentence(model: str, costs: Sequence[Cost], documents: Sequence[Document]) -> str:
    """The model's classification error, and the targets on which it is not known; empty where it never was."""
    mine = [(cost, document) for cost, document in zip(costs, documents, strict=True) if document["model"] == model]
    if all(cost.workload.accuracy is None for cost, _ in mine):
        return f"Classification error of {model}: not measured."
    accuracy = next(cost.workload.accuracy for cost, _ in mine if cost.workload.accuracy is not None)
    unknown = ", ".join(document["target"] for _, document in mine if not document["totals"]["error_pct"])
    said = (
        f"Classification error of {model}: {accuracy.error_pct:.2f} % "
        f"({accuracy.dataset} {accuracy.split}, n = {accuracy.n:,}, {accuracy.status})."
    )
    if unknown:
        said += f" Its weights are changed to run on {unknown}; the error there has to be measured again."
    return said

"""`report.html`: what a run has learned, in one file that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from speech2vec.evaluation.bootstrap import decimals_needed
from speech2vec.evaluation.scores import Evaluation
from speech2vec.reporting.charts import (
    auc_chart,
    followed_chart,
    loss_chart,
    monitor_chart,
    same_different_chart,
    score_levels,
    speaker_chart,
    variability_chart,
    z_ablation_chart,
)
from speech2vec.reporting.clips import MEDIA_TYPE, Clips
from speech2vec.reporting.comparison import compared, gather_all
from speech2vec.reporting.findings import RunResults, gather
from speech2vec.reporting.rendering import render
from speech2vec.reporting.svg import heat_image
from speech2vec.reporting.text import (
    fitted_sentence,
    flat_settings,
    key_figures,
    lesson,
    statements,
    summary,
    training_facts,
)
from speech2vec.reporting.word_map import DecodedExample, Neighbours, WordMap
from speech2vec.runtime.display import Displayed, Table
from speech2vec.training.run import LAST, Run
from speech2vec.vectors.instances import open_run


@dataclass(frozen=True)
class Picture:
    """A true and a decoded segment, as images."""

    centre: str
    context: str
    seconds: float
    true: str
    decoded: str


class Report(RunResults, Displayed):
    """What a report says of its run; `to_dict` has all that was measured."""

    @classmethod
    def of(cls, found: RunResults) -> Report:
        """The same results."""
        return cls(**{one.name: getattr(found, one.name) for one in fields(found)})

    def display_parts(self) -> list[str | Table]:
        """What was trained on what, the main findings and the key numbers."""
        rows = [["", "", "beside"], *([one.name, one.value, one.beside] for one in key_figures(self))]
        table = [Table(rows, align="left")] if len(rows) > 1 else []
        return [summary(self), lesson(self), *table, "\n".join(statements(self))]


def report(
    run: Run | str | Path,
    output: str | Path,
    *,
    store: str | Path | None = None,
    checkpoint: str = LAST,
    wordsim: str | Path | None = None,
    dtw_instances: int = 300,
    map_words: int = 1_000,
    searchable_words: int = 5_000,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
    audio: bool = True,
    aligned: str | Path | None = None,
    evaluation: Evaluation | None = None,
    others: Sequence[Run | str | Path] = (),
) -> Report:
    """Measure a run and write one self-contained page: its scores with their controls, and a map of its words.

    Parameters
    ----------
    run : Run or path
    output : path
        The page, written whole or not at all; an existing file is replaced.
    store, checkpoint, device
        How to open the run, if it is a path (see `Run.load`).
    wordsim, dtw_instances, map_words, searchable_words, seed, quiet, audio, aligned, evaluation
        See `gather`.
    others : sequence of Run or path
        Runs, such as those of other methods, whose scores are shown beside this one's.
    """
    found = gather(
        open_run(run, store, device=device, checkpoint=checkpoint),
        wordsim=wordsim,
        map_words=map_words,
        searchable_words=searchable_words,
        dtw_instances=dtw_instances,
        seed=seed,
        quiet=quiet,
        audio=audio,
        aligned=aligned,
        evaluation=evaluation,
    )
    beside = gather_all(others, checkpoint=checkpoint, wordsim=wordsim, seed=seed, device=device, quiet=quiet)
    render("report.html", Path(output), report_context(found, beside))
    return Report.of(found)


def report_context(found: RunResults, others: Sequence[RunResults] = ()) -> dict[str, Any]:
    """The variables of the template ``report.html``."""
    same_different = found.same_different.value.parts if found.same_different.value else []
    return {
        "title": f"Speech2Vec: {found.name}",
        "found": found,
        "beside": compared([found, *others]) if others else None,
        "corpus": found.corpus,
        "summary": summary(found),
        "figures": key_figures(found),
        "lesson": lesson(found),
        "statements": statements(found),
        "settings": flat_settings(found.settings),
        "store_settings": flat_settings(found.store_settings),
        "training": training_facts(found),
        "fitted": fitted_sentence(found),
        "loss": loss_chart(found.metrics),
        "worth": z_ablation_chart(found.metrics),
        "watched": monitor_chart(found.metrics),
        "levels": score_levels(found.evaluation),
        "published_source": found.evaluation.published.source if found.evaluation else "",
        "same_different": [(part, same_different_chart(part)) for part in same_different],
        "speaker": speaker_chart(found),
        "homophones": found.homophones,
        "followed": followed_chart(found.evaluation),
        "auc": auc_chart([("", "s0", found)]),
        "near_homophones": found.near_homophones,
        "digits": lambda *estimates: decimals_needed(estimates),
        "variability": found.variability,
        "variability_chart": variability_chart(found),
        "pictures": [picture(example) for example in found.decoded],
        "vectors": vectors_data(found.neighbours, found.word_map, found.clips),
    }


def picture(example: DecodedExample) -> Picture:
    """A decoded example as two images on the colour scale of the true one."""
    low, high = np.quantile(example.true, [0.01, 0.99])
    return Picture(
        centre=example.centre,
        context=example.context,
        seconds=len(example.true) * example.hop_seconds,
        true=heat_image(example.true.T, float(low), float(high)),
        decoded=heat_image(example.decoded.T, float(low), float(high)),
    )


def vectors_data(
    neighbours: Neighbours | None, word_map: WordMap | None, clips: Clips | None = None
) -> dict[str, Any] | None:
    """The data that the page's script searches and draws: 16-bit integers in base64."""
    if neighbours is None:
        return None
    data: dict[str, Any] = {
        "words": " ".join(neighbours.words),
        "first": neighbours.first,
        "counts": neighbours.counts.tolist(),
        "each": neighbours.nearest.shape[1],
        "nearest": _base64(neighbours.nearest),
        "cosines": _base64((neighbours.cosines.clip(-1, 1).astype(np.float64) + 1) / 2 * 65535),
        "map": None,
        "media": MEDIA_TYPE,
        "clips": {word: base64.b64encode(clip).decode("ascii") for word, clip in clips.of.items()} if clips else {},
    }
    if word_map is not None:
        data["map"] = {
            "words": " ".join(word_map.words),
            "seconds": [round(float(value), 3) for value in word_map.seconds],
            "scale": [round(float(value), 3) for value in np.quantile(word_map.seconds, [0.02, 0.98])],
            "planes": {"t-SNE": _plane(word_map.tsne), "PCA": _plane(word_map.pca)},
            "explained": round(word_map.explained, 3),
            "groups": [
                {"title": one.title, "names": one.names, "of": one.of.tolist(), **one.agreement()}
                for one in word_map.groups
            ],
        }
    return data


def _plane(points: np.ndarray) -> str:
    """Positions in a square that the longer side of the point cloud fills."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return _base64((points - (low + high) / 2) / size * 65535 + 32767.5)


def _base64(values: np.ndarray) -> str:
    whole = np.rint(np.asarray(values)).clip(0, 65535).astype("<u2")
    return base64.b64encode(whole.tobytes()).decode("ascii")

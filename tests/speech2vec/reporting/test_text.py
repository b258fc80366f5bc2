"""What the report says in words follows from its numbers, and claims no more than they show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech2vec.evaluation.average_precision import PairPrecision, Precision
from speech2vec.evaluation.same_different import Comparison, InstanceFilter, SameDifferentResult
from speech2vec.evaluation.scores import Evaluation, Level, ScoredModel
from speech2vec.evaluation.similarity import ModelScores, Score
from speech2vec.reporting.charts import z_ablation
from speech2vec.reporting.comparison import compared
from speech2vec.reporting.findings import CorpusSummary, Result, RunResults
from speech2vec.reporting.text import key_figures, lesson, statements
from speech2vec.vectors.instances import RESAMPLED, TRAINED, UNTRAINED

NAN = float("nan")


def findings(**fields: Any) -> RunResults:
    nothing: Result[Any] = Result(None, "not measured")
    empty: dict[str, Any] = {
        "name": "run",
        "method": "published",
        "labels": "none",
        "vector_size": 2,
        "settings": {},
        "store_settings": {},
        "environment": {},
        "corpus": CorpusSummary("store", False, 10, 5, 2, 3, 0.1, None),
        "metrics": [],
        "epoch": 3,
        "evaluation": None,
        **dict.fromkeys(("same_different", "variability", "speaker", "homophones", "near_homophones"), nothing),
    }
    return RunResults(**{**empty, **fields})


def evaluated(kinds: dict[str, str], scores: dict[str, tuple[list[Score], Score]]) -> Evaluation:
    """An evaluation of models of these kinds, with scores and their mean for some of them."""
    results = {name: ModelScores(5, 2, of_sets, mean, of_sets, mean) for name, (of_sets, mean) in scores.items()}
    models = [ScoredModel(name, kind, None, 5, 2) for name, kind in kinds.items()]
    return Evaluation(False, {}, [], models, [Level(1, results)] if results else [])


def losses(epoch: int, loss: float, shuffled: float, mean_frame: float) -> dict[str, Any]:
    within = (loss + shuffled) / 2
    measured = {"loss": loss, "shuffled": shuffled, "shuffled_within": within, "mean_frame": mean_frame}
    return {"epoch": epoch, **{f"dev_{name}": value for name, value in measured.items()}}


@pytest.mark.parametrize(
    ("loss", "shuffled", "mean_frame", "said"),
    [
        (
            0.98,
            0.99,
            1.0,
            "is used by the decoder: with the vector of a word of another utterance the held-out loss changes by +1.0",
        ),
        (
            0.98,
            0.99,
            1.0,
            "which is 50 % of what the model gains over the mean frame; with that of another word of the ",
        ),
        (0.98, 0.99, 1.0, "same utterance by +0.51 % (25 %): that part is the word"),
        (0.98, 0.981, 1.0, "is hardly used by the decoder"),
        (0.98, 0.979, 1.0, "is hardly used by the decoder"),
        (0.9966, 0.9967, 0.9965, "no better than the mean frame does (0.9966, 0.9965)"),
    ],
)
def test_a_vector_counts_where_the_loss_is_worse_without_it(
    loss: float, shuffled: float, mean_frame: float, said: str
) -> None:
    (sentence,) = statements(findings(metrics=[losses(3, loss, shuffled, mean_frame)]))
    assert said in sentence


def test_the_losses_are_those_of_the_epoch_that_is_shown() -> None:
    found = findings(metrics=[losses(2, 0.90, 0.95, 1.0), losses(3, 0.80, 0.95, 1.0)], epoch=2)
    assert key_figures(found)[0].value == "0.9000" and "+5.56 %" in statements(found)[0]
    scores = evaluated({"a": "file"}, {})
    assert "all else here is of epoch 2" in statements(replace(found, evaluation=scores))[0].lower()
    assert not any("all else" in said.lower() for said in statements(replace(found, evaluation=scores, epoch=3)))


def part(before: float, after: float, gain: tuple[float, float] | None, across: bool = True) -> Result[Any]:
    """Average precision before and after training with the interval of the gain; across speakers the other way."""

    def precision(ap: float, drawn: np.ndarray, n_same: int = 60) -> Precision:
        return Precision(ap if n_same else NAN, n_same, 600, drawn if gain else np.empty(0))

    still, moved = np.full(1001, before), before + np.linspace(*(gain or (NAN, NAN)), 1001)
    n_across = 30 if across else 0
    results = {
        TRAINED: PairPrecision(50, precision(after, moved), precision(before, still, n_across)),
        UNTRAINED: PairPrecision(50, precision(before, still), precision(after, moved, n_across)),
        RESAMPLED: PairPrecision(50, precision(0.3, still - 0.1), precision(0.2, still - 0.2, n_across)),
    }
    parts = [Comparison("held-out speakers", 3, results)]
    return Result(SameDifferentResult(Path("run"), Path("store"), False, 3, InstanceFilter(), 0, parts))


@pytest.mark.parametrize(
    ("gain", "all_pairs", "across"),
    [
        ((0.01, 0.2), "easier to tell apart", "harder to tell apart"),
        ((-0.1, 0.3), "no clear difference", "no clear difference"),
        (None, "that so few words cannot show", "that so few words cannot show"),
    ],
)
def test_training_helped_only_where_the_interval_of_the_gain_says_so(
    gain: tuple[float, float] | None, all_pairs: str, across: str
) -> None:
    first, second, _ = statements(findings(same_different=part(0.4, 0.5, gain)))
    assert all_pairs in first and "0.4000 before, 0.5000 after" in first
    assert second.startswith("Across speakers it made") and across in second and "0.5000 before, 0.4000" in second
    assert ("(+0.1000 [" in first) == ("(-0.1000 [" in second) == (gain is not None)


@pytest.mark.parametrize(
    ("gain", "across", "said"),
    [
        ((-0.05, 0.05), False, "tell words said apart better than plain frames"),
        ((-0.5, -0.2), False, "apart worse than"),
        ((-0.5, 0.5), False, "apart no better or worse than"),
        ((-0.5, -0.2), True, "said by different speakers apart better than"),
        (None, True, "Whether they know what words mean has not been measured"),
    ],
)
def test_the_lesson_is_what_the_interval_over_untrained_frames_says(
    gain: tuple[float, float] | None, across: bool, said: str
) -> None:
    text = lesson(findings(same_different=part(0.4, 0.5, gain, across)))
    assert said in text and ("tell words" in text) == (gain is not None)


@pytest.mark.parametrize(("low", "said"), [(0.02, "They also follow what words mean"), (-0.1, ", beyond chance.")])
def test_the_lesson_of_meaning(low: float, said: str) -> None:
    score = Score("MEN", 3000, 900, 0.1, low, 0.3)
    assert said in lesson(findings(evaluation=evaluated({"a": "file"}, {"a": ([score], score)})))


def test_without_pairs_across_speakers_nothing_is_said_of_them() -> None:
    sentence, worth = statements(findings(same_different=part(0.4, 0.5, (0.05, 0.15), across=False)))
    assert sentence.startswith("Training made") and "across speakers" not in worth


@pytest.mark.parametrize(
    ("gain", "across", "said"),
    [
        ((-0.05, 0.05), False, "Training was worth it: average precision 0.5000 trained, 0.3000 resampled (+0.2000 ["),
        ((-0.5, -0.2), False, "Training was not worth it: "),
        ((-0.5, 0.5), False, "It is not clear that training was worth it: "),
        ((-0.5, -0.2), True, "It is not clear that training was worth it: "),  # across speakers it was
        (None, True, "So few words cannot show whether training was worth it: average precision 0.5000 trained, "),
    ],
)
def test_training_is_worth_it_where_it_beats_what_needs_none(
    gain: tuple[float, float] | None, across: bool, said: str
) -> None:
    *_, worth = statements(findings(same_different=part(0.4, 0.5, gain, across)))
    assert worth.startswith(said)
    assert ("; 0.4000 trained, 0.2000 resampled across speakers" in worth) == across


def test_where_training_knew_words_by_name_the_verdict_is_of_held_out_ones() -> None:
    better, worse = part(0.4, 0.5, (0.05, 0.15), across=False).value, part(0.2, 0.1, (-0.5, -0.2), across=False).value
    held_out = replace(worse.parts[0], held_out=True)
    named = replace(better, labels="text of the transcripts", parts=[better.parts[0], held_out])
    said = findings(same_different=Result(named), labels=named.labels)
    assert "tell words of held-out speakers apart worse than" in lesson(said)
    first, worth = statements(said)
    assert first.startswith("On held-out speakers, whose words training did not know by name, it made instances harder")
    assert worth == held_out.worth()
    assert key_figures(said)[0].value == "0.1000" and "; held-out speakers" in key_figures(said)[0].beside
    none = findings(same_different=Result(replace(named, parts=named.parts[:1])), labels=named.labels)
    assert key_figures(none) == [] and statements(none) == [none.same_different.value.verdict]
    assert lesson(none).startswith("Whether training was worth it cannot be told: it knew words by name")


def test_runs_are_compared_on_held_out_words_where_one_knew_words_by_name() -> None:
    both = part(0.4, 0.5, (0.05, 0.15), across=False).value
    held_out = replace(part(0.2, 0.3, (0.05, 0.15), across=False).value.parts[0], held_out=True)
    measured = replace(both, parts=[both.parts[0], held_out])
    runs = [findings(name=name, same_different=Result(measured)) for name in ("a", "b")]
    table = compared(runs)
    assert table.rows[0][3] == "same word" and table.rows[1][3].startswith("0.500")
    assert table.instances == "all instances" and "best by a (average precision a 0.500" in table.sentences[0]
    runs[1] = replace(runs[1], labels="text of the transcripts")
    table = compared(runs)
    assert table.rows[0][3] == "same word, held out" and [row[3][:5] for row in table.rows[1:]] == ["0.300", "0.300"]
    assert "Over all pairs of held-out instances" in table.sentences[0] and "held-out" in table.instances


def test_what_cosines_follow_is_said_of_the_run() -> None:
    score = Score("MEN", 3000, 900, 0.2, 0.1, 0.3)
    evaluation = evaluated({"vectors": "file", "text vectors": "text"}, {"vectors": ([score], score)})
    follows = {
        "vectors": [Score("pronunciation", 20, 20, 0.5, 0.4, 0.6), Score("text vectors", 20, 20, 0.1, 0.0, 0.2)],
        "text vectors": [Score("pronunciation", 20, 20, 0.01, 0.0, 0.02)],
    }
    evaluation = replace(evaluation, levels=[replace(evaluation.levels[0], follows=follows)])
    sentence = statements(findings(evaluation=evaluation))[-1]
    assert (
        "pronunciations with ρ = 0.500 [0.400, 0.600], and the cosines of their text vectors with ρ = 0.100" in sentence
    )
    unknown = [Score("pronunciation", 0, 0, None, None, None)]
    evaluation = replace(evaluation, levels=[replace(evaluation.levels[0], follows={"vectors": unknown})])
    assert not any("cosines follow" in said for said in statements(findings(evaluation=evaluation)))


@pytest.mark.parametrize(
    ("rho", "low", "high", "told"),
    [
        (0.2, 0.1, 0.3, "above chance"),
        (0.1, -0.1, 0.3, "not distinguishable from chance"),
        (-0.1, -0.3, 0.1, "not distinguishable from chance"),
        (-0.2, -0.3, -0.1, "below chance"),
    ],
)
def test_a_score_is_above_chance_where_its_whole_interval_is(rho: float, low: float, high: float, told: str) -> None:
    score = Score("MEN", 3000, 900, rho, low, high)
    evaluation = evaluated({"vectors": "file"}, {"vectors": ([score], score)})
    (sentence,) = statements(findings(evaluation=evaluation))
    assert f"ρ on MEN is {rho:.3f} [{low:.2f}, {high:.2f}], {told}, on 900 of 3,000 pairs." in sentence


def test_a_score_stands_beside_that_of_the_encoder_untrained() -> None:
    score, mean = Score("MEN", 3000, 900, 0.2, 0.1, 0.3), Score("mean of 2", 3000, 900, 0.2, 0.1, 0.3)
    control = ([replace(score, rho=0.25)], replace(mean, rho=0.5))
    kinds = {"vectors": "file", "untrained run": "untrained", "text vectors": "text", "random": "random"}
    ceiling = ([replace(score, rho=0.44)], replace(mean, rho=0.4))
    scores = {"vectors": ([score], mean), "untrained run": control, "text vectors": ceiling}
    evaluation = evaluated(kinds, scores)
    (sentence,) = statements(findings(evaluation=evaluation))
    assert "on 900 of 3,000 pairs; 0.250 by the same encoder untrained; 0.440 by vectors of the same trans" in sentence
    (figure,) = key_figures(findings(evaluation=evaluation))
    assert figure.value == "0.200" and figure.beside.endswith("; 0.250 untrained; 0.440 by text")
    # Without the headline benchmark the mean is shown, beside the other's mean.
    evaluation = evaluated(kinds, {"vectors": ([], mean), "untrained run": control})
    (sentence,) = statements(findings(evaluation=evaluation))
    assert "on mean of 2 is 0.200" in sentence and "; 0.500 by" in sentence


def test_what_z_is_worth_is_the_growth_of_the_loss_without_it() -> None:
    metrics = [{"epoch": 1, "dev_loss": 1.0, "dev_shuffled": 1.5}, {"epoch": 2, "dev_loss": 0.8, "dev_shuffled": 0.6}]
    assert z_ablation(metrics, "dev_shuffled") == [(1, 50.0), (2, pytest.approx(-25.0))]
    assert z_ablation(metrics, "dev_shuffled_within") == []

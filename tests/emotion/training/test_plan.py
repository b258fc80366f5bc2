"""A plan against the corpus: folds part neither speakers nor dialogues, and spread the sexes."""

import json
from pathlib import Path

import numpy as np
import pytest

from emotion.classifiers.registry import load_classifier
from emotion.data.dataset import Prepared, PreparedWriter
from emotion.data.splits import SplitProtocol
from emotion.settings import EmotionSettings
from emotion.training.plan import Plan, check_plan, continue_run, gather_run, warn_of_features
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

META = {"kind": "table", "name": "made", "labels": ["neu", "ang"], "fingerprint": "0" * 12, "features": {"hop": 0.1}}


def prepared(folder, *speakers):
    """A corpus of ``(speaker, extras)``, in which each speaker says something in either class."""
    folder.mkdir()
    with PreparedWriter(folder, n_features=2) as writer:
        for speaker, extras in speakers:
            for label in META["labels"]:
                utterance = Utterance(
                    f"{speaker}-{label}", Path("a.wav"), "yes", speaker, extras={"label_full": label, **extras}
                )
                writer.add(utterance, np.zeros((3, 2), np.float32), 0.3, label)
        writer.finish(META, {})
    return Prepared.open(folder)


@pytest.mark.parametrize("model", ["acoustic", "svm"])
def test_a_dialogue_of_two_speakers_is_never_in_two_parts(tmp_path, caplog, model):
    plan = Plan(model=model, n_folds=6)
    apart = prepared(tmp_path / "apart", *((name, {"dialogue": f"d{name}"}) for name in "abcdef"))
    assert all(len(split.train) == 8 and len(split.development) == 2 for split in check_plan(apart, plan))
    together = prepared(
        tmp_path / "together", *((name, {"dialogue": "d1"} if name in "ab" else {}) for name in "abcdef")
    )
    splits = check_plan(together, plan)
    assert sorted(i for split in splits for i in split.test) == list(range(12))  # all are tested
    dialogue = together.dialogue
    for split in splits:
        pairs = [(split.train, split.test), (split.development, split.test)]
        pairs += [(split.train, split.development)] if model == "acoustic" else []
        for one, other in pairs:
            assert not ({*dialogue[one]} & {*dialogue[other]}) - {None}
    (tested,) = (split for split in splits if "a" in together.speaker[split.test])
    assert len(tested.train) + len(tested.development) == 8  # of ten, without b's
    run = gather_run(together, plan, EmotionSettings(), splits)(tmp_path / "run")
    assert run.info["dialogues_left_out"][tested.name] == 2 and "left out of training" in caplog.text
    assert not gather_run(apart, plan, EmotionSettings(), check_plan(apart, plan))(tmp_path / "a").info[
        "dialogues_left_out"
    ]


def test_sessions_still_refuse_a_dialogue_in_two_parts(tmp_path):
    sessions = [(f"s{i}", {"session": str(i), "dialogue": "d" if i > 3 else None}) for i in range(1, 6)]
    corpus = prepared(tmp_path / "p", *sessions)
    with pytest.raises(UserError, match="dialogue 'd' is in two parts"):
        check_plan(corpus, Plan(model="acoustic", protocol=SplitProtocol.session5))


@pytest.mark.parametrize("protocol", [SplitProtocol.speaker_folds, SplitProtocol.leave_one_speaker_out])
def test_without_development_data_two_speakers_are_enough(tmp_path, protocol):
    corpus = prepared(tmp_path / "p", ("a", {}), ("b", {}))
    splits = check_plan(corpus, Plan(model="svm", n_folds=2, protocol=protocol))
    assert [(len(s.train), len(s.development), len(s.test)) for s in splits] == [(2, 0, 2)] * 2
    with pytest.raises(UserError, match=r"at least 3 speakers, .*; the corpus has 2: 'speech2vec-emotion evaluate RUN"):
        check_plan(corpus, Plan(model="acoustic", n_folds=2, protocol=protocol))


def test_classes_are_looked_for_where_the_classifier_trains(tmp_path):
    """Two of three speakers have a class: in a fold, one is development data and one is tested."""
    corpus = prepared(tmp_path / "p", *((name, {}) for name in "abc"))
    corpus.label[:] = ["neu", "ang", "neu", "ang", "neu", "neu"]
    check_plan(corpus, Plan(model="svm", n_folds=3))
    with pytest.raises(UserError, match="has no utterance of class ang"):
        check_plan(corpus, Plan(model="acoustic", n_folds=3))
    corpus.label[:] = "neu"
    with pytest.raises(UserError, match=r"class ang \(ang occurs nowhere: prepare the corpus again\)"):
        check_plan(corpus, Plan(model="svm", n_folds=3))


def test_a_run_continues_on_the_same_labels_only(tmp_path):
    plan, settings = Plan(model="svm", n_folds=3), EmotionSettings()
    corpus = prepared(tmp_path / "p", *((name, {}) for name in "abc"))
    run = gather_run(corpus, plan, settings, check_plan(corpus, plan))(tmp_path / "run")
    assert continue_run(corpus, tmp_path / "run", plan, settings).info == run.info
    corpus.label[:2] = corpus.label[:2][::-1].copy()
    with pytest.raises(UserError, match="was started with utterances"):
        continue_run(corpus, tmp_path / "run", plan, settings)
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    del info["utterances"]  # as of a run made before
    (tmp_path / "run" / "run.json").write_text(json.dumps(info))
    continue_run(corpus, tmp_path / "run", plan, settings)
    corpus.meta["labels"] = ["ang", "neu"]
    with pytest.raises(UserError, match="was started with labels"):
        continue_run(corpus, tmp_path / "run", plan, settings)


@pytest.mark.parametrize(("model", "warned"), [("svm", True), ("compare", False), ("embedding", False)])
def test_what_concerns_a_classifier_is_warned_of(tmp_path, caplog, model, warned):
    corpus = prepared(tmp_path / "p", *((name, {}) for name in "abc"))
    settings = EmotionSettings(training={"normalisation": "speaker"})
    warn_of_features(corpus, "default", settings, load_classifier(model))
    assert ("without levelling" in caplog.text) is warned
    assert ("normalisation by speaker is unreliable" in caplog.text) is (model != "embedding")
    assert "model.stack" not in caplog.text


def test_folds_are_balanced_by_the_sex_that_the_corpus_names(tmp_path):
    sexes = {f"s{i:02}": "f" if i < 12 else "m" for i in range(24)}
    corpus = prepared(tmp_path / "p", *((name, {"sex": sex}) for name, sex in sexes.items()))
    for split in check_plan(corpus, Plan(model="acoustic", n_folds=6)):
        tested = set(corpus.speaker[split.test])
        assert sorted(sexes[name] for name in tested) == ["f", "f", "m", "m"]

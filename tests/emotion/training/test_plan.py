"""A plan against the corpus: folds part neither speakers nor dialogues, and spread the sexes."""

from pathlib import Path

import numpy as np
import pytest

from emotion.data.dataset import Prepared, PreparedWriter
from emotion.training.plan import Plan, check_plan
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

META = {"kind": "table", "name": "made", "labels": ["neu", "ang"], "fingerprint": "0" * 12}


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


def test_a_dialogue_of_two_speakers_cannot_be_in_two_parts(tmp_path):
    plan = Plan(model="acoustic", n_folds=3)
    apart = prepared(tmp_path / "apart", *((name, {"dialogue": f"d{name}"}) for name in "abc"))
    assert len(check_plan(apart, plan)) == 3
    together = prepared(
        tmp_path / "together", *((name, {"dialogue": "d1" if name in "ab" else "d2"}) for name in "abc")
    )
    with pytest.raises(UserError, match="dialogue 'd1' is in two parts"):
        check_plan(together, plan)


def test_folds_are_balanced_by_the_sex_that_the_corpus_names(tmp_path):
    sexes = {f"s{i:02}": "f" if i < 12 else "m" for i in range(24)}
    corpus = prepared(tmp_path / "p", *((name, {"sex": sex}) for name, sex in sexes.items()))
    for split in check_plan(corpus, Plan(model="acoustic", n_folds=6)):
        tested = set(corpus.speaker[split.test])
        assert sorted(sexes[name] for name in tested) == ["f", "f", "m", "m"]

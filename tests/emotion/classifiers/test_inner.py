"""Inner speaker folds, and the temperature that is fitted on them."""

import numpy as np
import pytest
from scipy.special import softmax

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.inner import apply_temperature, calibrate, fit_temperature, inner_folds, log_probabilities
from emotion.data.examples import Examples
from emotion.settings import EmotionSettings
from speech2vec.runtime.errors import UserError


def test_folds_have_speakers_of_their_own_and_all_classes():
    labels, speakers = np.arange(60) % 3, np.array([f"s{i // 10}" for i in range(60)], dtype=object)
    folds = inner_folds(labels, speakers, 4)
    assert len(folds) == 4 and sorted(np.concatenate([held for _, held in folds])) == list(range(60))
    for train, held in folds:
        assert not set(speakers[train]) & set(speakers[held]) and set(labels[train]) == {0, 1, 2}
    # Of one speaker, utterances are held out; a fold that takes the only ones of a class away is none.
    assert len(inner_folds(np.arange(8) // 2 % 2, speakers[:8], 4)) == 4
    with pytest.raises(UserError, match="too small for inner speaker folds"):
        inner_folds(np.array([0, 1]), np.array(["a", "b"], dtype=object), 3)
    with pytest.raises(UserError, match="one utterance"):
        inner_folds(np.array([0]), np.array(["a"], dtype=object), 3)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_probabilities_is_found(temperature):
    rng = np.random.default_rng(0)
    true = softmax(2 * rng.standard_normal((20000, 4)), axis=1)
    labels = np.array([rng.choice(4, p=row) for row in true])
    said = softmax(log_probabilities(true) * temperature, axis=1)  # over- or underconfident
    found = fit_temperature(log_probabilities(said), labels)
    assert found == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(apply_temperature(said, found), true, atol=0.03)


def test_without_development_data_held_out_speakers_give_the_temperature():
    """A classifier that knows what it was shown by heart, and is sure of all else, is not believed."""

    class ByHeart(Classifier):
        name, inputs = "by-heart", frozenset({"statistics"})

        def fit(self, train, development, context):
            class Fitted:
                def predict_proba(self, examples):
                    known = np.isin(examples.statistics[:, 0], train.statistics[:, 0])
                    said = np.where(known, examples.labels, examples.statistics[:, 0].astype(int) % 2)
                    return np.where(np.eye(2)[said] > 0, 0.99, 0.01)

            return Fitted()

    n = 40
    rng = np.random.default_rng(1)
    speakers = np.array([f"s{i % 4}" for i in range(n)], dtype=object)
    train = Examples(labels=rng.integers(0, 2, n), speakers=speakers, statistics=np.arange(n)[:, None])
    nothing = train.part(np.zeros(0, dtype=np.int64))
    context = Context(labels=("a", "b"), settings=EmotionSettings())
    fitted = ByHeart().fit(train, nothing, context)
    assert calibrate(ByHeart(), fitted, train, nothing, context) > 5
    assert calibrate(ByHeart(), fitted, train, train, context) < 1

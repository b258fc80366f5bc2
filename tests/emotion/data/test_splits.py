"""Protocols: nobody in two parts, everybody tested once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion.data.splits import Split, SplitProtocol, check_split, make_splits
from speech2vec.runtime.errors import UserError

corpora = st.lists(st.tuples(st.integers(0, 14), st.integers(1, 5)), min_size=1, max_size=15, unique_by=lambda s: s[0])


@settings(max_examples=60, deadline=None)
@given(corpora, st.integers(3, 8), st.integers(0, 3), st.booleans())
def test_speaker_folds(speakers, n_folds, seed, with_sex):
    rows = [f"s{name}" for name, count in speakers for _ in range(count)]
    sexes = [("f" if int(row[1:]) % 2 else "m") for row in rows] if with_sex else None
    if len(speakers) < n_folds:
        with pytest.raises(UserError, match="folds"):
            make_splits("speaker-folds", rows, sexes=sexes, n_folds=n_folds, seed=seed)
        return
    splits = make_splits("speaker-folds", rows, sexes=sexes, n_folds=n_folds, seed=seed)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(rows)))
    for split in splits:
        parts = [{rows[i] for i in part} for part in (split.train, split.development, split.test)]
        assert all(parts) and not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
        assert sum(len(part) for part in (split.train, split.development, split.test)) == len(rows)
    n_test = [len({rows[i] for i in split.test}) for split in splits]
    assert max(n_test) - min(n_test) <= (2 if with_sex else 1)


@pytest.mark.parametrize(
    ("n_speakers", "n_folds", "message"),
    [
        (6, 7, "cannot make 7 folds of 6 speakers: --folds must be from 3 to 6"),
        (6, 2, "cannot make 2 folds of 6 speakers: --folds must be from 3 to 6"),
        (2, 3, "speaker-folds needs at least 3 speakers, for training, development and test; the corpus has 2"),
    ],
)
def test_folds_that_cannot_be_made(n_speakers, n_folds, message):
    with pytest.raises(UserError, match=message):
        make_splits("speaker-folds", [f"s{i}" for i in range(n_speakers)], n_folds=n_folds)


def test_speaker_folds_spread_the_sexes():
    rows = [f"a{i:02}" for i in range(24) for _ in range(28)]
    sexes = ["female" if int(row[1:]) % 2 else "male" for row in rows]
    for split in make_splits("speaker-folds", rows, sexes=sexes, n_folds=6):
        tested = {rows[i]: sexes[i] for i in split.test}
        assert sorted(tested.values()) == ["female", "female", "male", "male"]


def test_the_seed_draws_who_meets_in_a_fold():
    rows = [f"a{i:02}" for i in range(24)]
    tested = [[{rows[i] for i in s.test} for s in make_splits("speaker-folds", rows, seed=seed)] for seed in (0, 0, 1)]
    assert tested[0] == tested[1] != tested[2]
    # Not merely other names of the folds.
    assert not any(fold in tested[2] for fold in tested[0])


def iemocap():
    sessions = [str(session) for session in range(1, 6) for _ in range(4)]
    speakers = [f"Ses0{session}{sex}" for session in range(1, 6) for sex in "FFMM"]
    return speakers, sessions


def test_session5_trains_on_four_sessions_and_selects_nothing():
    speakers, sessions = iemocap()
    (split,) = make_splits(SplitProtocol.session5, speakers, sessions)
    assert len(split.train) == 16 and len(split.development) == 0 and set(split.test) == set(range(16, 20))


def test_session5_dev_keeps_session_4():
    speakers, sessions = iemocap()
    (split,) = make_splits("session5-dev", speakers, [f"Session{s}" for s in sessions])
    assert set(split.development) == set(range(12, 16)) and len(split.train) == 12


def test_leave_one_out():
    speakers, sessions = iemocap()
    assert len(make_splits("leave-one-session-out", speakers, sessions)) == 5
    splits = make_splits("leave-one-speaker-out", speakers, sessions)
    assert len(splits) == 10 and all(len(split.test) == 2 for split in splits)


def test_an_eighth_of_the_speakers_chooses_the_epoch_where_one_is_left_out():
    rows = [f"a{i:02}" for i in range(24) for _ in range(2)]
    for i, split in enumerate(make_splits("leave-one-speaker-out", rows)):
        following = {f"a{(i + k) % 24:02}" for k in (1, 2, 3)}
        assert {rows[j] for j in split.development} == following
        assert {rows[j] for j in split.test} == {f"a{i:02}"}


def test_errors_name_what_is_wrong():
    speakers, sessions = iemocap()
    with pytest.raises(UserError, match="sessions 1 to 5; 5 missing"):
        make_splits("session5", speakers[:16], sessions[:16])
    with pytest.raises(UserError, match="needs a session"):
        make_splits("leave-one-session-out", speakers, [None] * 20)
    with pytest.raises(UserError, match="speaker 'Ses01F' is in two parts, training and test"):
        make_splits("session5", ["Ses01F"] * 20, sessions)
    with pytest.raises(UserError, match="dialogue 'd' is in two parts"):
        check_split(Split("x", np.array([0]), np.array([], dtype=int), np.array([1])), ["d", "d"], "dialogue")

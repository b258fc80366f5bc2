"""Protocols that split a corpus into training, development and test parts with disjoint speakers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator


class SplitProtocol(str, Enum):
    """How a corpus is split.

    ``session5`` is the paper's: train on sessions 1 to 4, test on session 5, no epoch selection. ``session5-dev``
    holds session 4 out as development data. The others test every utterance once; the test part of the next fold is
    the development part.
    """

    session5 = "session5"
    session5_dev = "session5-dev"
    leave_one_session_out = "leave-one-session-out"
    leave_one_speaker_out = "leave-one-speaker-out"
    speaker_folds = "speaker-folds"


BY_SPEAKER = frozenset((SplitProtocol.leave_one_speaker_out, SplitProtocol.speaker_folds))


@dataclass(frozen=True)
class Split:
    """One fold.

    Parameters
    ----------
    name : str
    train, development, test : ndarray [shape=(n,)], int64
        Indices of utterances. Development is empty if no epoch is selected.
    """

    name: str
    train: np.ndarray
    development: np.ndarray
    test: np.ndarray


def make_splits(
    protocol: SplitProtocol | str,
    speakers: Sequence[str],
    sessions: Sequence[str | None] | None = None,
    *,
    sexes: Sequence[str | None] | None = None,
    n_folds: int = 6,
    seed: int = 0,
    develop: bool = True,
) -> list[Split]:
    """Split a corpus.

    Parameters
    ----------
    protocol : SplitProtocol
    speakers : sequence of str
        Speaker of each utterance.
    sessions : sequence of str or None
        Session of each utterance ("1" to "5"); required by the session-based protocols.
    sexes : sequence of str or None
        Sex of each utterance's speaker, if known; ``speaker-folds`` balances it.
    n_folds : int
        Number of ``speaker-folds``.
    seed : int
        Seed of the assignment of speakers to folds.
    develop : bool
        Whether development data are kept out of training. If not, two speakers are enough, and there may be none.

    Raises
    ------
    UserError
        Sessions are missing, there are too few speakers, or a speaker would be in two parts.
    """
    protocol = SplitProtocol(protocol)
    speaker = np.asarray(speakers, dtype=object)
    if protocol is SplitProtocol.speaker_folds:
        _check_number(protocol, len(set(speakers)), "speakers", develop)
        groups = _fold_of_each(speaker, sexes, n_folds, seed, develop)
    elif protocol is SplitProtocol.leave_one_speaker_out:
        groups = speaker
        _check_number(protocol, len(set(speakers)), "speakers", develop)
    else:
        if sessions is None or any(session is None for session in sessions):
            raise UserError(f"the protocol {protocol.value} needs a session for every utterance: try speaker-folds")
        groups = np.asarray([_session_number(str(session)) for session in sessions], dtype=object)
        if protocol is SplitProtocol.leave_one_session_out:
            _check_number(protocol, len(set(groups)), "sessions", develop)
    if protocol in (SplitProtocol.session5, SplitProtocol.session5_dev):
        splits = [_session5(groups, develop=protocol is SplitProtocol.session5_dev)]
    else:
        # One speaker has too few utterances to select an epoch by: an eighth of the speakers are development.
        n_development = len(set(speakers)) // 8 if protocol is SplitProtocol.leave_one_speaker_out else 1
        splits = _leave_one_out(groups, max(1, n_development))
    for split in splits:
        check_split(split, speaker)
    return splits


def _check_number(protocol: SplitProtocol, n: int, what: str, develop: bool) -> None:
    if n < 2 + develop:
        parts = "training, development and test" if develop else "training and test"
        raise UserError(
            f"{protocol.value} needs at least {2 + develop} {what}, for {parts}; the corpus has {n}: "
            "'speech2vec-emotion evaluate RUN --on PREPARED' scores a run of another corpus on it"
        )


def without_shared_dialogues(split: Split, dialogues: Sequence[str | None] | np.ndarray, develop: bool = True) -> Split:
    """Without the training and development utterances whose dialogue continues in the test part.

    If development data are kept out of training (`develop`), training loses those of their dialogues too.
    """
    dialogue = np.asarray(dialogues, dtype=object)

    def others(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
        known = {name for name in dialogue[of] if name is not None}
        return rows[np.array([name not in known for name in dialogue[rows]], dtype=bool)]

    development = others(split.development, split.test)
    train = others(split.train, np.concatenate([split.test, split.development]) if develop else split.test)
    return Split(split.name, train, development, split.test)


def _session_number(session: str) -> str:
    return session.lower().removeprefix("session").removeprefix("ses").strip("_ ").lstrip("0") or session


def _session5(groups: np.ndarray, develop: bool) -> Split:
    missing = sorted({"1", "2", "3", "4", "5"} - set(groups))
    if missing:
        found = ", ".join(sorted(set(groups)))
        raise UserError(f"the session5 protocols need sessions 1 to 5; {', '.join(missing)} missing (found: {found})")
    development = groups == "4" if develop else np.zeros(len(groups), dtype=bool)
    test = groups == "5"
    train = np.isin(groups, ["1", "2", "3", "4"]) & ~development
    return Split("session5", *(np.flatnonzero(part) for part in (train, development, test)))


def _leave_one_out(groups: np.ndarray, n_development: int) -> list[Split]:
    """Each group is the test part once; the next groups in order are the development part, none if there are two."""
    names = sorted(set(groups), key=lambda name: (len(str(name)), str(name)))
    splits = []
    for i_test, name in enumerate(names):
        following = [names[(i_test + i) % len(names)] for i in range(1, min(n_development, len(names) - 2) + 1)]
        test, development = groups == name, np.isin(groups, following)
        parts = (np.flatnonzero(part) for part in (~test & ~development, development, test))
        splits.append(Split(str(name), *parts))
    return splits


def _fold_of_each(
    speaker: np.ndarray, sexes: Sequence[str | None] | None, n_folds: int, seed: int, develop: bool
) -> np.ndarray:
    """Assign speakers to folds: by sex, then by descending number of utterances, always to the emptiest fold.

    Ties are broken at random, so that neighbours in the corpus' numbering do not share a fold systematically.
    """
    names, first, sizes = np.unique(speaker.astype(str), return_index=True, return_counts=True)
    n = len(names)
    if not 2 + develop <= n_folds <= n:
        raise UserError(f"cannot make {n_folds} folds of {n} speakers: --folds must be from {2 + develop} to {n}")
    sex = ["" if sexes is None or sexes[i] is None else str(sexes[i]) for i in first]
    drawn = generator(seed).permutation(len(names))
    order = sorted(range(len(names)), key=lambda i: (sex[i], -sizes[i], drawn[i]))
    speakers_in, utterances = [0] * n_folds, [0] * n_folds
    of_sex: dict[str, list[int]] = defaultdict(lambda: [0] * n_folds)
    fold_of: dict[str, str] = {}
    for i in order:
        fold = min(range(n_folds), key=lambda f: (of_sex[sex[i]][f], speakers_in[f], utterances[f], f))
        fold_of[str(names[i])] = f"fold-{fold + 1}"
        speakers_in[fold] += 1
        of_sex[sex[i]][fold] += 1
        utterances[fold] += sizes[i]
    return np.array([fold_of[str(name)] for name in speaker], dtype=object)


def check_split(split: Split, groups: Sequence[str | None] | np.ndarray, what: str = "speaker") -> None:
    """Check that no speaker (or dialogue) is in two parts.

    Raises
    ------
    UserError
        A speaker (or dialogue) is in two parts, or a part is empty.
    """
    group = np.asarray(groups, dtype=object)
    parts = {"training": split.train, "development": split.development, "test": split.test}
    for part in ("training", "test"):
        if len(parts[part]) == 0:
            raise UserError(f"split {split.name}: the {part} part is empty")
    part_of: dict[str, str] = {}
    for part, rows in parts.items():
        for name in sorted({str(name) for name in group[rows] if name is not None}):
            if name in part_of:
                raise UserError(f"split {split.name}: {what} '{name}' is in two parts, {part_of[name]} and {part}")
            part_of[name] = part

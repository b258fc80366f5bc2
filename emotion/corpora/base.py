"""The common form of every emotion corpus: labelled utterances, unusable items, and the published counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import DUPLICATE, Problem
from speech2vec.runtime.errors import UserError

FOUR_CLASSES = ("neu", "hap", "sad", "ang")

LabelSet = Literal["four", "full"] | tuple[str, ...]

BAD_NAME = "not a file name of this corpus"
NO_LABEL = "no label"
UNKNOWN_LABEL = "unknown label"


@dataclass
class EmotionCorpus:
    """The contents of a corpus folder.

    Parameters
    ----------
    kind : str
    labels : mapping
        The corpus' own labels in order, each mapped to one of the four classes or None.
    utterances : list of Utterance
        All usable utterances, whatever their label. Their extras are ``label`` (one of the four classes or None),
        ``label_full``, and, if the corpus defines them, ``session``, ``style`` ("improvised" or "scripted"),
        ``dialogue`` and ``sex`` (of the speaker: "female" or "male"). ``text_only`` is true if there is no audio
        (``audio`` is then where it would be), ``composite`` if the text is not that of the audio.
    problems : list of Problem
        Items that are unusable, by name and reason.
    notes : list of Problem
        Irregularities of utterances that are kept.
    expected : mapping
        Utterances by full label in the full release; empty if unknown.
    expected_sessions : mapping
        Utterances by session and by class of the four, if published.
    name : str
        What to call it where no name is given; "" is its kind.
    """

    kind: str
    labels: Mapping[str, str | None]
    utterances: list[Utterance] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    expected: Mapping[str, int] = field(default_factory=dict)
    expected_sessions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    name: str = ""
    _seen: set[str] = field(default_factory=set, init=False, repr=False)

    def add(
        self,
        utterance_id: str,
        audio: Path,
        text: str,
        speaker: str,
        label_full: str,
        *,
        start: float | None = None,
        end: float | None = None,
        channel: int | None = None,
        **extras: Any,
    ) -> None:
        """Add an utterance, or a problem if its id is duplicated or its label is not one of the corpus' labels."""
        if utterance_id in self._seen:
            self.problems.append(Problem(utterance_id, DUPLICATE, str(audio)))
        elif label_full not in self.labels:
            self.problems.append(Problem(utterance_id, UNKNOWN_LABEL, f"'{label_full}'"))
        else:
            self._seen.add(utterance_id)
            columns = {"label": self.labels[label_full], "label_full": label_full}
            columns.update({name: value for name, value in extras.items() if value is not None})
            utterance = Utterance(
                utterance_id,
                audio.absolute(),
                text,
                speaker,
                start=start,
                end=end,
                channel=channel,
                extras=columns,
            )
            self.utterances.append(utterance)

    def classes(self, label_set: LabelSet) -> tuple[str, ...]:
        """The target classes.

        Raises
        ------
        UserError
            A list names a label that the corpus does not have.
        """
        if isinstance(label_set, tuple):
            unknown = [name for name in label_set if name not in (*self.labels, *FOUR_CLASSES)]
            if unknown or len(set(label_set)) < len(label_set):
                fault = f"there is no label {', '.join(unknown)}" if unknown else "a label is named twice"
                raise UserError(
                    f"labels: {fault}; the corpus has {', '.join(self.labels)}, and {', '.join(FOUR_CLASSES)}"
                )
            return label_set
        return FOUR_CLASSES if label_set == "four" else tuple(self.labels)

    def count_differences(self, label_set: LabelSet) -> list[str] | None:
        """Compare the counts with those of the full release.

        Returns
        -------
        list of str or None
            One line per difference; None if the release's counts are unknown.
        """
        if not self.expected:
            return None
        found = Counter(label_of(utterance, label_set) for utterance in self.utterances)
        expected: Counter[str | None] = Counter()
        for label, count in self.expected.items():
            expected[_chosen(label, self.labels[label], label_set)] += count
        del expected[None]  # outside the classes
        lines = [f"{label}: {found[label]:,} instead of {n:,}" for label, n in expected.items() if found[label] != n]
        if label_set == "four" and self.expected_sessions:
            by_session = Counter((u.extras.get("session"), u.extras["label"]) for u in self.utterances)
            lines += [
                f"session {session}, {label}: {by_session[session, label]:,} instead of {n:,}"
                for session, counts in self.expected_sessions.items()
                for label, n in counts.items()
                if by_session[session, label] != n
            ]
        return lines


def label_of(utterance: Utterance, label_set: LabelSet) -> str | None:
    """The target class, one of the four or the corpus' own label, as the label set says; None if it has none."""
    return _chosen(utterance.extras["label_full"], utterance.extras["label"], label_set)


def _chosen(own: str, of_four: str | None, label_set: LabelSet) -> str | None:
    if isinstance(label_set, tuple):
        return next((name for name in (own, of_four) if name in label_set), None)
    return own if label_set == "full" else of_four

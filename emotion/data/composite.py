"""COMPOSITE sets: the audio of one prepared corpus beside texts of another with the same label.

They exercise fusion where no corpus with both is at hand. Given the label, their two modalities are independent by
construction, so their scores compare with nothing published; every output says COMPOSITE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from emotion.data.dataset import Prepared
from speech2vec.corpus.readers import Problem
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator

NO_TEXT_LEFT = "no text of its label left"


REPEATED = "repeated text"


NO_WORDS = "text without words"


NOT_NEEDED = "text not needed"


@dataclass(frozen=True)
class Pairing:
    """Which text goes with which recording.

    Parameters
    ----------
    pairs : list of (int, int)
        Indices in the audio set and in the text set; in order of the audio set.
    without_text : list of Problem
        Recordings for which no text was left.
    unused : list of Problem
        Texts that were not used, each with its reason.
    """

    pairs: list[tuple[int, int]]
    without_text: list[Problem]
    unused: list[Problem]


def pair(audio: Prepared, text: Prepared, seed: int) -> Pairing:
    """Pair each recording with a text of its label.

    Texts are distinct (the first of equal word sequences is taken), and all texts of one dialogue go to ONE speaker of
    the audio set: however speakers are divided into folds, no dialogue is in two.

    Parameters
    ----------
    audio, text : Prepared
        Their labels must be the same classes.
    seed : int

    Raises
    ------
    UserError
        The two have different classes.
    """
    if set(audio.labels) != set(text.labels):
        raise UserError(
            f"{audio.folder} has the classes {', '.join(audio.labels)}, {text.folder} {', '.join(text.labels)}: "
            "a composite needs the same in both"
        )
    kept, unused = _distinct_texts(text)
    rng = generator(seed)
    dialogues: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for j in kept:
        # A text that belongs to no dialogue stands alone.
        dialogues[text.dialogue[j] or f"{j}"][text.label[j]].append(j)
    names = sorted(dialogues)
    free = {names[i]: dialogues[names[i]] for i in rng.permutation(len(names))}
    recordings: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in rng.permutation(len(audio)):
        recordings[audio.speaker[i]][audio.label[i]].append(int(i))
    supply = {label: sum(text.label[j] == label for j in kept) for label in audio.labels}
    demand = {label: int((audio.label == label).sum()) for label in audio.labels}
    # The scarcest label first, and speakers in turn, so that none of them finds a label used up by the others.
    scarcest = sorted(audio.labels, key=lambda label: supply[label] / max(demand[label], 1))
    speakers = sorted(recordings)
    pairs: list[tuple[int, int]] = []
    for label in scarcest:
        waiting = [speakers[i] for i in rng.permutation(len(speakers))]
        while waiting:
            waiting = [s for s in waiting if recordings[s][label] and _deal(free, recordings[s], label, pairs)]
    without = [i for speaker in speakers for rest in recordings[speaker].values() for i in rest]
    used = {j for _, j in pairs}
    unused += [Problem(text.utterance_id[j], NOT_NEEDED) for j in kept if j not in used]
    missing = [Problem(audio.utterance_id[i], NO_TEXT_LEFT, audio.label[i]) for i in sorted(without)]
    return Pairing(sorted(pairs), missing, unused)


def _deal(
    free: dict[str, dict[str, list[int]]],
    recordings: dict[str, list[int]],
    label: str,
    pairs: list[tuple[int, int]],
) -> bool:
    """Give one speaker the next dialogue that holds `label`; False where there is none left."""
    name = next((name for name, texts in free.items() if texts.get(label)), None)
    if name is None:
        return False
    for its_label, texts in free.pop(name).items():
        open_recordings = recordings[its_label]
        n = min(len(texts), len(open_recordings))
        pairs += zip(open_recordings[:n], texts[:n], strict=True)
        del open_recordings[:n]
    return True


def _distinct_texts(text: Prepared) -> tuple[list[int], list[Problem]]:
    seen: set[Sequence[str]] = set()
    kept: list[int] = []
    unused: list[Problem] = []
    for j in range(len(text)):
        words = tuple(tokenize(text.text[j]))
        if not words:
            unused.append(Problem(text.utterance_id[j], NO_WORDS, text.text[j]))
        elif words in seen:
            unused.append(Problem(text.utterance_id[j], REPEATED, " ".join(words)))
        else:
            seen.add(words)
            kept.append(j)
    return kept, unused

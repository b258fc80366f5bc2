"""A COMPOSITE corpus: recordings of one emotion corpus, each with a text of another that has the same label.

    python -m scripts.make_composite ravdess path/to/RAVDESS meld path/to/MELD --seed 1 -o composite.csv
    speech2vec-emotion prepare table composite.csv --name COMPOSITE-ravdess-meld-seed1 -o prepared/composite

It exercises fusion where no corpus with emotional speech and emotional words is at hand. Given the label, audio and
text are independent by construction, so the scores compare with no published result. The column `composite` of the
table puts COMPOSITE into the corpus name, hence into every output, and excludes the utterances from alignment.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from emotion.corpora.base import FOUR_CLASSES
from emotion.corpora.registry import read_emotion_corpus
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Problem
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.files import atomic_path, write_json
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.seeds import generator

NO_TEXT_LEFT = "no text of its label left"
REPEATED, NO_WORDS, NOT_NEEDED = "repeated text", "text without words", "text not needed"
COLUMNS = ("utterance_id", "audio", "text", "speaker", "label", "session", "dialogue", "sex", "start", "end", "channel")


@dataclass(frozen=True)
class Pairing:
    """Recordings and their texts.

    Parameters
    ----------
    pairs : list of (Utterance, Utterance)
        Recording and text, in order of the recordings.
    without_text : list of Problem
        Recordings for which no text was left.
    unused : list of Problem
        Texts that were not used, with the reason.
    """

    pairs: list[tuple[Utterance, Utterance]]
    without_text: list[Problem]
    unused: list[Problem]


def pair(audio: Sequence[Utterance], texts: Sequence[Utterance], seed: int) -> Pairing:
    """Pair each recording with a text of its label.

    Texts are distinct (the first of equal word sequences is used), and all texts of a dialogue go to ONE speaker of
    the recordings, so that no dialogue is in two folds, however speakers are split.

    Parameters
    ----------
    audio, texts : sequence of Utterance
        With a label among their extras.
    seed : int
    """
    kept, unused = _distinct_texts(texts)
    rng = generator(seed)
    dialogues: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for j in kept:
        # A text without a dialogue is one by itself.
        dialogues[texts[j].extras.get("dialogue") or f"{j}"][_label(texts[j])].append(j)
    names = sorted(dialogues)
    free = {names[i]: dialogues[names[i]] for i in rng.permutation(len(names))}
    recordings: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in rng.permutation(len(audio)):
        recordings[audio[i].speaker][_label(audio[i])].append(int(i))
    supply = Counter(_label(texts[j]) for j in kept)
    demand = Counter(map(_label, audio))
    # The scarcest label first and speakers in turn, so that no speaker finds a label exhausted by the others.
    scarcest = sorted(FOUR_CLASSES, key=lambda label: supply[label] / max(demand[label], 1))
    speakers = sorted(recordings)
    pairs: list[tuple[int, int]] = []
    for label in scarcest:
        waiting = [speakers[i] for i in rng.permutation(len(speakers))]
        while waiting:
            waiting = [s for s in waiting if recordings[s][label] and _deal(free, recordings[s], label, pairs)]
    without = sorted(i for speaker in speakers for rest in recordings[speaker].values() for i in rest)
    used = {j for _, j in pairs}
    unused += [Problem(texts[j].utterance_id, NOT_NEEDED) for j in kept if j not in used]
    return Pairing(
        [(audio[i], texts[j]) for i, j in sorted(pairs)],
        [Problem(audio[i].utterance_id, NO_TEXT_LEFT, _label(audio[i])) for i in without],
        unused,
    )


def _label(utterance: Utterance) -> str:
    return str(utterance.extras["label"])


def _deal(
    free: dict[str, dict[str, list[int]]],
    recordings: dict[str, list[int]],
    label: str,
    pairs: list[tuple[int, int]],
) -> bool:
    """Give a speaker the next dialogue that contains `label`; False if there is none left."""
    name = next((name for name, texts in free.items() if texts.get(label)), None)
    if name is None:
        return False
    for its_label, texts in free.pop(name).items():
        open_recordings = recordings[its_label]
        n = min(len(texts), len(open_recordings))
        pairs += zip(open_recordings[:n], texts[:n], strict=True)
        del open_recordings[:n]
    return True


def _distinct_texts(texts: Sequence[Utterance]) -> tuple[list[int], list[Problem]]:
    seen: set[Sequence[str]] = set()
    kept: list[int] = []
    unused: list[Problem] = []
    for j, utterance in enumerate(texts):
        words = tuple(tokenize(utterance.text))
        if not words:
            unused.append(Problem(utterance.utterance_id, NO_WORDS, utterance.text))
        elif words in seen:
            unused.append(Problem(utterance.utterance_id, REPEATED, " ".join(words)))
        else:
            seen.add(words)
            kept.append(j)
    return kept, unused


def write_table(pairs: Sequence[tuple[Utterance, Utterance]], path: Path) -> None:
    """Write pairs as a CSV table for ``speech2vec-emotion prepare table``."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, (*COLUMNS, "composite"))
        writer.writeheader()
        for sound, text in pairs:
            row = {
                "utterance_id": f"{sound.utterance_id}+{text.utterance_id}",
                "audio": sound.audio,
                "text": text.text,
                "speaker": sound.speaker,
                "label": _label(sound),
                "dialogue": text.extras.get("dialogue"),
                "session": sound.extras.get("session"),
                "sex": sound.extras.get("sex"),
                **{name: getattr(sound, name) for name in ("start", "end", "channel")},
                "composite": "yes",
            }
            writer.writerow(row)


def _read(kind: str, root: Path) -> list[Utterance]:
    """The utterances of a corpus that have one of the four classes."""
    utterances = read_emotion_corpus(kind, root).utterances
    if any(utterance.extras.get("composite") for utterance in utterances):
        raise UserError(f"{root} is COMPOSITE itself: use the corpora that it was made from")
    return [utterance for utterance in utterances if utterance.extras["label"]]


def command(
    audio_kind: Annotated[str, typer.Argument(help="Kind of the corpus of recordings, such as ravdess.")],
    audio_root: Annotated[Path, typer.Argument(help="Its folder.")],
    text_kind: Annotated[str, typer.Argument(help="Kind of the corpus of texts, such as meld.")],
    text_root: Annotated[Path, typer.Argument(help="Its folder.")],
    output: console.OutputOption,
    seed: console.SeedOption = 0,
    force: console.ForceOption = False,
) -> None:
    """Pair recordings of one emotion corpus with texts of another of the same label."""
    if output.suffix != ".csv":
        raise UserError(f"{output}: the name of the table must end in .csv")
    audio, texts = _read(audio_kind, audio_root), _read(text_kind, text_root)
    if any(utterance.extras.get("text_only") for utterance in audio):
        raise UserError(f"{audio_root} contains text only: the first corpus must have audio")
    pairing = pair(audio, texts, seed)
    if not pairing.pairs:
        raise UserError(f"no text of {text_root} has the label of a recording of {audio_root}")
    claim_output(output, force=force, inputs=[audio_root, text_root])
    write_table(pairing.pairs, output)
    left_out = {name: [asdict(problem) for problem in getattr(pairing, name)] for name in ("without_text", "unused")}
    write_json(output.with_suffix(".json"), {"seed": seed, "pairs": len(pairing.pairs), **left_out})
    print(f"COMPOSITE: {len(pairing.pairs):,} recordings with texts in {output}")
    for reason, n in Counter(problem.reason for problem in pairing.without_text + pairing.unused).items():
        print(f"left out, {reason}: {n:,} (listed in {output.with_suffix('.json')})")
    name = f"COMPOSITE-{audio_kind}-{text_kind}-seed{seed}"
    print(f"next: speech2vec-emotion prepare table {output} --name {name} -o DIR")
    if pairing.without_text:
        raise typer.Exit(DONE_WITH_FAILURES)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    console.run_app(app)

"""Make a small SYNTHETIC tree in IEMOCAP's layout: espeak-ng speaks each class in its own manner.

    python -m scripts.make_synthetic_emotion -o tree

It has five sessions of two speakers each. Pitch, pitch range, rate and loudness depend on the class, with random
variation between utterances. Two utterances in three also say what they feel (`scripts.emotional_text`); the words of
the others are from the news, whatever their class. So neither sound nor words tell everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from scripts.emotional_text import sentence
from scripts.make_iemocap_like import Turn, write_dialogue
from scripts.synthesis import Voice, in_fresh_processes, speak
from scripts.synthetic_corpus import MARKER, SETTINGS, as_recorded, draw_voices, lee_chapters
from speech2vec.runtime import console
from speech2vec.runtime.files import atomic_folder, write_json
from speech2vec.runtime.output import FolderContents, claim_output
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import Tracker, set_up_logging
from speech2vec.runtime.seeds import generator

DIALOGUES = ("impro01", "script01_1")
_STREAM_TEXT, _STREAM_DIALOGUE = 3, 4


@dataclass(frozen=True)
class Manner:
    """How a class is spoken, relative to the speaker's neutral voice.

    Parameters
    ----------
    pitch, pitch_range : int
        In espeak-ng's units.
    rate : float
        Factor.
    loudness : float, dB
    """

    pitch: int
    pitch_range: int
    rate: float
    loudness: float


MANNERS = {
    "neu": Manner(0, 0, 1.0, 0.0),
    "hap": Manner(14, 25, 1.12, 3.0),
    "sad": Manner(-14, -25, 0.8, -8.0),
    "ang": Manner(6, 15, 1.2, 7.0),
}


@dataclass(frozen=True)
class Dialogue:
    """The work of one process: turns of two speakers, each with a class and its words."""

    session: Path
    name: str
    voices: dict[str, Voice]
    turns: list[tuple[str, str, list[str]]]
    seed: tuple[int, ...]


def turn(speaker: str, label: str, words: list[str], voice: Voice, rng: np.random.Generator) -> Turn:
    """One utterance in the manner of its class."""
    manner = MANNERS[label]
    spoken = replace(
        voice,
        pitch=int(np.clip(voice.pitch + manner.pitch + rng.normal(0, 4), 0, 99)),
        pitch_range=int(np.clip(voice.pitch_range + manner.pitch_range + rng.normal(0, 6), 0, 99)),
        rate=int(np.clip(voice.rate * manner.rate * rng.normal(1, 0.06), 90, 300)),
    )
    speech = speak([words], spoken)
    gain = 10 ** ((manner.loudness - 9.0 + rng.normal(0, 1.5)) / 20)
    samples, times = as_recorded(replace(speech, samples=speech.samples * np.float32(gain)), rng)
    text = " ".join(words).capitalize() + "."
    return Turn(speaker, label, text, samples, [(word, *time) for word, time in zip(words, times, strict=True)])


def make_dialogue(dialogue: Dialogue) -> int:
    """Speak one dialogue and write its files; return the number of utterances."""
    rng = generator(*dialogue.seed)
    turns = [turn(who, label, words, dialogue.voices[who], rng) for who, label, words in dialogue.turns]
    return len(write_dialogue(dialogue.session, dialogue.name, turns))


def dialogues(root: Path, turns: int, emotional: float, seed: int) -> list[Dialogue]:
    """The dialogues of all sessions, with random orders of the classes; a share of their words fits the class."""
    stories = lee_chapters(1, None)
    sentences = [list(chain(*clauses)) for story in stories for clauses in story.utterances.values()]
    sentences = [words for words in sentences if len(words) <= 12]
    rng = generator(seed, _STREAM_TEXT)
    voices = draw_voices([f"{number}{sex}" for number in range(1, 6) for sex in "FM"], ["en-us"], seed)
    made = []
    for number in range(1, 6):
        for index, name in enumerate(DIALOGUES):
            labels = rng.permutation([label for label in MANNERS for _ in range(turns // len(MANNERS))])
            texts = rng.choice(len(sentences), size=len(labels), replace=False)
            said = [
                sentence(str(label), rng) if rng.random() < emotional else sentences[text]
                for label, text in zip(labels, texts, strict=True)
            ]
            rows = [("FM"[i % 2], str(label), words) for i, (label, words) in enumerate(zip(labels, said, strict=True))]
            both = {sex: voices[f"{number}{sex}"][1] for sex in "FM"}
            stream = (seed, _STREAM_DIALOGUE, number, index)
            made.append(Dialogue(root / f"Session{number}", f"Ses{number:02}{'FM'[index]}_{name}", both, rows, stream))
    return made


CONTENTS = FolderContents(
    marks=(MARKER,),
    others=(
        SETTINGS,
        *(f"Session[1-5]/dialog/{kind}/Ses*.txt" for kind in ("EmoEvaluation", "transcriptions")),
        *("Session[1-5]/sentences/wav/Ses*/Ses*.wav", "Session[1-5]/sentences/ForcedAlignment/Ses*/Ses*.wdseg"),
    ),
)


def command(
    output: console.OutputOption,
    turns: Annotated[int, typer.Option(min=4, help="Utterances in each of the ten dialogues.")] = 40,
    emotional: Annotated[float, typer.Option(min=0, max=1, help="Share of utterances whose words fit.")] = 0.67,
    seed: console.SeedOption = 0,
    jobs: console.JobsOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Make a small SYNTHETIC tree in IEMOCAP's layout, with one manner of speaking per class."""
    set_up_logging(quiet)
    claim_output(output, force=force, folder=CONTENTS)
    with atomic_folder(output) as folder, Tracker("speaking", 10, "dialogues", quiet) as tracker:
        total = 0
        preload = ["scripts.synthetic_corpus", "scripts.make_iemocap_like"]
        for done in in_fresh_processes(
            make_dialogue, dialogues(folder, turns, emotional, seed), count_jobs(jobs), preload
        ):
            total += done
            tracker.advance()
        (folder / MARKER).write_text(
            "# SYNTHETIC speech\n\n"
            "Nothing here was said, or felt, by a person: espeak-ng spoke, one way of speaking a class, and\n"
            "a list of phrases for each class.\n"
            "Results on it say that a program works; they are not results on emotion.\n",
            encoding="utf-8",
        )
        manners = {label: vars(manner) for label, manner in MANNERS.items()}
        made = {"synthetic": True, "seed": seed, "utterances": total, "emotional": emotional, "manners": manners}
        write_json(folder / SETTINGS, made)
    print(f"SYNTHETIC: {total} utterances of 10 voices in IEMOCAP's layout in {output}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(command)
    console.run_app(app)

"""Make a SYNTHETIC corpus in LibriSpeech's layout: text spoken by espeak-ng, with the exact time of every word.

    python -m scripts.make_synthetic_corpus -o corpus                              # the Lee corpus, from gensim
    python -m scripts.make_synthetic_corpus train-clean-100.text -o corpus --subset train-clean-100

Writes

    corpus/SUBSET/SPEAKER/CHAPTER/*.flac, *.trans.txt              16 kHz, mono
    corpus/alignments/SUBSET/SPEAKER/CHAPTER/*.alignment.txt       the synthesiser's own word times
    corpus/SPEAKERS.TXT  SYNTHETIC.md  synthetic.json              the speakers; how it was made

`--resume` continues an interrupted run. Several machines share the work with `--shard 1/4`, `--shard 2/4`, ... into the
same folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts.synthetic_corpus import CONTENTS, UNMAPPED, emotional_chapters, lee_chapters, make_corpus, read_chapters
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.processes import parse_shard
from speech2vec.runtime.progress import set_up_logging


def command(
    output: console.OutputOption,
    transcripts: Annotated[
        Path | None, typer.Argument(help="Lines 'SPEAKER-CHAPTER-NUMBER WORDS' [the Lee corpus, from gensim].")
    ] = None,
    subset: Annotated[str, typer.Option(help="Folder of the subset.")] = "synthetic",
    speakers: Annotated[int, typer.Option(min=1, help="Number of speakers for the Lee corpus.")] = 10,
    emotional_sentences: Annotated[
        int, typer.Option(min=0, help="Sentences that tell an emotion, after the Lee corpus.")
    ] = 0,
    max_words: Annotated[int | None, typer.Option(min=1, help="Stop after the chapter that reaches this.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="espeak-ng languages (repeatable): en-us, en, ...")] = None,
    shard: Annotated[str, typer.Option(help="Only part K of N of the chapters: K/N.")] = "1/1",
    seed: console.SeedOption = 0,
    jobs: console.JobsOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Speak text into a SYNTHETIC corpus in LibriSpeech's layout, with exact word times."""
    set_up_logging(quiet)
    k, n = parse_shard(shard)
    chapters = read_chapters(transcripts, max_words) if transcripts else lee_chapters(speakers, max_words)
    chapters += [] if transcripts else emotional_chapters(speakers, emotional_sentences, seed)
    if not chapters:
        raise UserError(f"{transcripts}: has no lines of text")
    claim_output(output, force=force, resume=resume or n > 1, inputs=[transcripts], folder=CONTENTS)
    made = make_corpus(chapters, output, subset, language or ["en-us"], seed, (k - 1, n), jobs, quiet)
    print(
        f"SYNTHETIC: {made.utterances:,} utterances, {made.words:,} words, {made.seconds / 3600:.2f} h now in {output}"
    )
    if made.unmapped:
        print(f"{len(made.unmapped)} utterance(s) left out; {output / UNMAPPED} lists them with the reason")
        raise typer.Exit(DONE_WITH_FAILURES)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(command)
    console.run_app(app)

"""The reproduction in one command: Speech2Vec and Word2Vec on LibriSpeech at four vector sizes, compared.

    python -m scripts.run_librispeech path/to/LibriSpeech -o OUT --subset train-clean-100
    python -m scripts.run_librispeech path/to/LibriSpeech -o OUT --alignments path/to/alignments

Aligns (or imports alignments) and computes MFCC. For each vector size it trains Speech2Vec on audio and Word2Vec on the
transcripts of the same words, with the same window, and scores both with their controls. Each step continues where it
was interrupted. The alignment can be divided between machines that share OUT: run with `--shard 1/8` to `--shard 8/8`,
then without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts.chain import Chain
from speech2vec.corpus.manifest import write_utterances
from speech2vec.corpus.readers import read_corpus
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log, set_up_logging

SIZES = (50, 100, 200, 300)


def select(librispeech: Path, subsets: list[str], output: Path) -> Path:
    """The corpus to align: the whole folder, the folder of one subset, or a list of the utterances of several."""
    for subset in subsets:
        if not (librispeech / subset).is_dir():
            there = sorted(path.name for path in librispeech.iterdir() if path.is_dir())
            raise UserError(f"{librispeech} has no subset '{subset}'; it has {', '.join(there) or 'none'}")
    if len(subsets) < 2:
        return librispeech / subsets[0] if subsets else librispeech
    utterances = []
    for subset in subsets:
        corpus = read_corpus(librispeech / subset)
        utterances += corpus.utterances
        for problem in corpus.problems:
            log.warning("%s: %s (%s)", problem.utterance_id, problem.reason, problem.detail)
    write_utterances(output / "corpus.jsonl", utterances)
    return output / "corpus.jsonl"


def align(chain: Chain, corpus: Path, alignments: Path | None, aligner: str, shard: str | None) -> Path | None:
    """Align a corpus, or import its alignments; return the folder, or None for one shard of several."""
    aligned = chain.folder / "aligned"
    if alignments is not None:
        chain.run(
            "Import alignments", "speech2vec-align import", corpus, "--alignments", alignments, "-o", aligned, "--force"
        )
        return aligned
    run = ("speech2vec-align run", corpus, f"--aligner {aligner} --resume -o")
    if shard is not None:
        part = chain.folder / f"aligned-{shard.replace('/', '-of-')}"
        chain.run(f"Align shard {shard}", *run, part, f"--shard {shard}")
        return None
    parts = sorted(chain.folder.glob("aligned-*-of-*"))
    if parts:
        chain.run("Merge the shards", "speech2vec-align merge", *parts, "-o", aligned, "--force")
    else:
        chain.run("Align", *run, aligned)
    return aligned


def command(
    librispeech: Annotated[Path, typer.Argument(help="Folder of subsets, or of one subset.")],
    output: console.OutputOption,
    subset: Annotated[list[str] | None, typer.Option(help="Subsets to use (repeatable) [all].")] = None,
    alignments: Annotated[Path | None, typer.Option(help="Import these alignments instead of aligning.")] = None,
    aligner: Annotated[str, typer.Option(help="pocketsphinx, mfa or ctc.")] = "pocketsphinx",
    shard: Annotated[str | None, typer.Option(help="Align only shard K of N (K/N), and stop.")] = None,
    vector_size: Annotated[list[int] | None, typer.Option(help="Vector sizes (repeatable) [50 100 200 300].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of Speech2Vec [from the preset].")] = None,
    preset: Annotated[str, typer.Option(help="Preset of features and training.")] = "default",
    min_count: Annotated[int, typer.Option(min=1, help="Minimum count of words for Word2Vec.")] = 5,
    wordsim: Annotated[Path | None, typer.Option(help="Folder of benchmarks [the two that gensim ships].")] = None,
    device: console.DeviceOption = console.Device.auto,
    seed: console.SeedOption = 1,
) -> None:
    """Reproduce Speech2Vec and Word2Vec on LibriSpeech at several vector sizes, and compare them."""
    set_up_logging(quiet=False)
    if not librispeech.is_dir():
        raise UserError(f"{librispeech}: no such folder")
    if alignments is not None and shard is not None:
        raise UserError("--shard divides the alignment, which --alignments replaces: use only one of them")
    chain = Chain(output)
    aligned = align(chain, select(librispeech, subset or [], output), alignments, aligner, shard)
    if aligned is None:
        print(f"\nShard {shard} is aligned. When all shards are, run again without --shard.")
        return
    store = output / "store"
    chain.run("Compute MFCC of every word", "speech2vec features", aligned, "-o", store, f"--preset {preset} --resume")
    benchmarks = ("--wordsim", wordsim) if wordsim else ()
    common = f"--device {device.value} --seed {seed}"
    runs: list[Path] = []
    files: list[Path] = []
    for size in vector_size or SIZES:
        run, text = output / f"speech2vec-{size}", output / f"word2vec-{size}.txt"
        passes = f"--epochs {epochs}" if epochs else ""
        settings = f"--preset {preset} --vector-size {size} {passes} {common} --resume"
        chain.run(f"Train Speech2Vec, vector size {size}", "speech2vec train", store, "-o", run, settings)
        vectors = run / "vectors.txt"
        chain.run("Export its vectors", "speech2vec export", run, "-o", vectors, f"--device {device.value} --force")
        output_file = ("-o", run / "same-different.json", "--force")
        chain.run("Same-different discrimination", "speech2vec same-different", run, *output_file, optional=True)
        settings = f"--kind word2vec --vector-size {size} --min-count {min_count} --seed {seed} --force -o"
        chain.run(f"Train Word2Vec, vector size {size}", "speech2vec baseline", store, settings, text)
        chain.run(
            "Word similarity of both, with their controls",
            *("speech2vec evaluate", vectors, text, "--run", run, *benchmarks, "-o", run / "evaluation", "--force"),
        )
        runs.append(run)
        files += [vectors, text]
        chain.run("Write the report", "speech2vec report", run, *benchmarks, "-o", run / "report.html", "--force")
    if len(runs) > 1:
        all_of_them = (*benchmarks, "-o", output / "evaluation", "--force")
        chain.run(
            "Word similarity of all models, on the pairs that all cover", "speech2vec evaluate", *files, *all_of_them
        )
        page = (*benchmarks, "-o", output / "comparison.html", "--force")
        chain.run("Compare the runs", "speech2vec compare", *runs, *page)
    print(f"\nTables: {output / 'evaluation' if len(runs) > 1 else runs[0] / 'evaluation'}")
    print(f"Pages: {', '.join(str(run / 'report.html') for run in runs)}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    console.run_app(app)

"""`speech2vec same-different` and `speech2vec homophones`: what the vectors of single instances, and of words, know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech2vec.cli.options import CheckpointOption, RunArgument, StoreOption, WarpedOption, WordsimOption
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.progress import set_up_logging

if TYPE_CHECKING:
    from speech2vec.evaluation.homophones import HomophoneCheck
    from speech2vec.evaluation.near_homophones import NearHomophones
    from speech2vec.training.run import Run


JsonOption = Annotated[Path | None, typer.Option("-o", "--output", help="Also write everything to this JSON file.")]


def same_different(
    run: RunArgument,
    output: JsonOption = None,
    store: StoreOption = None,
    checkpoint: CheckpointOption = "last",
    min_characters: Annotated[int, typer.Option("--min-characters", min=1, help="Shorter words are left out.")] = 5,
    min_seconds: Annotated[float, typer.Option("--min-seconds", min=0, help="Shorter instances are left out.")] = 0.5,
    max_instances: Annotated[int, typer.Option("--max-instances", min=2, help="A seeded sample where more.")] = 10_000,
    warped: WarpedOption = 300,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Are instances of one word closer than instances of two? Average precision, beside its baselines."""
    from speech2vec.evaluation.same_different import (
        InstanceFilter,
        format_same_different,
        measure_same_different,
        settings_json,
    )
    from speech2vec.runtime.files import write_json

    set_up_logging(quiet)
    if output is not None:
        claim_output(output, force=force, inputs=[run, store])
    loaded = _load(run, store, checkpoint, device)
    selection = InstanceFilter(min_characters, min_seconds, max_instances)
    parts = measure_same_different(loaded, selection, warped, seed, quiet)
    if output is not None:
        settings = settings_json(loaded, selection, seed)
        write_json(output, {**settings, "parts": [part.to_json() for part in parts]})
    print(format_same_different(parts, selection, loaded.store.synthetic))


def homophones(
    vectors: Annotated[Path, typer.Argument(help="Word vectors in word2vec's format, text or binary.")],
    output: JsonOption = None,
    run: Annotated[Path | None, typer.Option("--run", help="The run they come from, for halves of one word.")] = None,
    store: StoreOption = None,
    checkpoint: CheckpointOption = "last",
    wordsim: WordsimOption = None,
    dictionary: Annotated[
        Path | None, typer.Option("--dictionary", help="Pronunciations [CMUdict in PocketSphinx].")
    ] = None,
    min_count: Annotated[int, typer.Option("--min-count", min=1, help="Rarer words take no part (with --run).")] = 5,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Do words that sound the same get the same vector, as they must if vectors come from sound?"""
    from speech2vec.corpus.pronunciations import first_pronunciations
    from speech2vec.evaluation.benchmarks import read_benchmarks
    from speech2vec.evaluation.homophones import check_homophones, homophone_pairs
    from speech2vec.evaluation.near_homophones import near_homophones
    from speech2vec.runtime.files import write_json
    from speech2vec.vectors.instances import instances_by_row, with_counts
    from speech2vec.vectors.word_vectors import read_vectors

    set_up_logging(quiet)
    if output is not None:
        claim_output(output, force=force, inputs=[vectors, run, store, wordsim, dictionary])
    if run is None and store is not None:
        raise UserError("--store goes with --run: without a run there are no instances to halve")
    words = read_vectors(vectors)
    pronunciations = first_pronunciations(dictionary)
    instances, synthetic = None, False
    if run is not None:
        loaded = _load(run, store, checkpoint, device)
        words, synthetic = with_counts(words, loaded.store), loaded.store.synthetic
    pairs = homophone_pairs(words, pronunciations, min_count, seed)
    if run is not None:
        instances = instances_by_row(loaded, words, pairs.rows(), seed)
    check = check_homophones(words, pairs, instances, seed)
    table = near_homophones(words, pronunciations, read_benchmarks(wordsim), min_count, seed)
    if output is not None:
        settings = {"vectors": str(vectors), "run": str(run) if run else None, "synthetic": synthetic, "seed": seed}
        write_json(output, {**settings, "homophones": check.to_json(), "near_homophones": table.to_json()})
    print(_format(check, table, synthetic))


def _load(run: Path, store: Path | None, checkpoint: str, device: console.Device) -> Run:
    from speech2vec.training.run import Run

    return Run.load(run, store, device=device.value, checkpoint=checkpoint)


def _format(check: HomophoneCheck, table: NearHomophones, synthetic: bool) -> str:
    from speech2vec.evaluation.bootstrap import decimals_needed

    lines = ["These figures are from SYNTHETIC speech.", ""] if synthetic else []
    lines += [f"homophones: {check.n_pairs} pairs ({check.n_found} found), {check.n_words:,} words", ""]
    lines.append(f"  {'':<46}{'mean cosine':>26}{'AUC of homophones against':>28}")
    rows = [("homophones", check.homophones, None), ("random pairs of like frequency", check.random, check.auc_random)]
    if check.split_halves is not None:
        rows.append(("halves of one word, as many instances", check.split_halves, check.auc_split))
    digits = decimals_needed([mean for _, mean, _ in rows])
    lines += [f"  {name:<46}{mean.text(digits):>26}{'' if auc is None else str(auc):>28}" for name, mean, auc in rows]
    lines += [
        "",
        f"  a word's homophone among its neighbours: rank {check.median_rank:.0f} of {check.n_words - 1:,} in the "
        f"median; nearest {check.nearest:.0%}, among the nearest ten {check.in_top_10:.0%}",
        "",
        check.verdict,
    ]
    if table.kinds:
        lines += ["", f"  {'':<46}{'mean cosine':>26}{'random':>26}{'AUC':>20}"]
    for kind in table.kinds:
        name = f"{kind.kind} ({kind.n_pairs} of {kind.n_found} pairs)"
        digits = decimals_needed([kind.cosine, kind.random])
        lines.append(f"  {name:<46}{kind.cosine.text(digits):>26}{kind.random.text(digits):>26}{kind.auc_random!s:>20}")
    return "\n".join([*lines, "", table.sentence])

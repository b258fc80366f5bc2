"""The second paper as one command: IEMOCAP and the vectors of `scripts.run_librispeech` in, its three tables out.

    python -m scripts.run_librispeech path/to/LibriSpeech -o LIBRISPEECH_OUT
    python -m scripts.run_iemocap path/to/IEMOCAP_full_release OUT --vectors LIBRISPEECH_OUT

prepares the corpus (formats and counts are checked), then trains every row of Tables 1, 2 and 3: acoustic, embedding
and dual models, with speech vectors, word vectors and random ones at each size that is there. Each step continues where
it was stopped. A run of each dual model stays in OUT/tables/runs, for `speech2vec-emotion predict`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from emotion.data.splits import SplitProtocol
from scripts.chain import Chain
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import set_up_logging


def find_vectors(folder: Path) -> tuple[dict[int, Path], dict[int, Path]]:
    """Speech2Vec's and Word2Vec's vectors by size, as `scripts.run_librispeech` names them.

    Raises
    ------
    UserError
        There are none of one kind, or not the same sizes of both.
    """
    speech = _by_size(folder.glob("speech2vec-*/vectors.txt"), r"speech2vec-(\d+)/vectors\.txt")
    word = _by_size(folder.glob("word2vec-*.txt"), r"word2vec-(\d+)\.txt")
    if not speech and not word:
        raise UserError(f"{folder} holds no vectors (speech2vec-50/vectors.txt, word2vec-50.txt, ...)")
    if speech.keys() != word.keys():
        alone = ", ".join(map(str, sorted(speech.keys() ^ word.keys())))
        raise UserError(f"{folder} has vectors of only one kind at size(s) {alone}: is scripts.run_librispeech done?")
    return speech, word


def _by_size(files: Iterable[Path], name: str) -> dict[int, Path]:
    found = ((re.search(f"/{name}$", path.as_posix()), path) for path in files)
    return {int(match[1]): path for match, path in found if match}


def command(
    iemocap: Annotated[Path, typer.Argument(help="IEMOCAP_full_release, or the folder above it.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Where the result is written.")],
    vectors: Annotated[Path, typer.Option("--vectors", help="OUT of scripts.run_librispeech.")],
    extra: Annotated[
        list[str] | None, typer.Option("--extra", help="One more row, as SIZE=FILE: the published vectors, say.")
    ] = None,
    protocol: Annotated[SplitProtocol, typer.Option(help="Who is tested on.")] = SplitProtocol.session5,
    preset: Annotated[str, typer.Option(help="Of 'speech2vec-emotion prepare' and 'tables'.")] = "paper",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row.")] = 5,
    set_: console.SetOption = None,
    jobs: console.JobsOption = 0,
    device: console.DeviceOption = console.Device.auto,
    seed: console.SeedOption = 0,
) -> None:
    """Reproduce the emotion tables on IEMOCAP."""
    set_up_logging(quiet=False)
    if not iemocap.is_dir():
        raise UserError(f"{iemocap}: there is no such folder")
    speech, word = find_vectors(vectors)
    chain = Chain(output)
    prepared, tables = output / "prepared", output / "tables"
    if not (prepared / "meta.json").exists():
        how = f"--preset {preset} --jobs {jobs}"
        chain.run("Features and counts", "speech2vec-emotion prepare iemocap", iemocap, "-o", prepared, how)
    files: list[str | Path] = []  # a path stays one word, whatever blanks it holds
    for option, found in (("--speech-embeddings", speech), ("--word-embeddings", word)):
        for size in sorted(found):
            files += [option, Path(f"{size}={found[size]}")]
    for row in extra or ():
        files += ["--extra-embeddings", Path(row)]
    for setting in set_ or ():
        files += ["--set", Path(setting)]
    common = f"--protocol {protocol.value} --preset {preset} --seeds {seeds} --seed {seed} --jobs {jobs}"
    chain.run(
        "Tables 1 to 3",
        *("speech2vec-emotion tables", prepared, "-o", tables, *files, common),
        f"--device {device.value} --resume",
    )
    print(f"\nTables: {tables / 'tables.txt'} (and .csv); utterances left out: {prepared / 'report.json'}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    console.run_app(app)

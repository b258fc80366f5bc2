"""Arguments and options that several commands of `speech2vec-emotion` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotion.data.splits import SplitProtocol

PreparedArgument = Annotated[Path, typer.Argument(help="Output of 'speech2vec-emotion prepare'.")]
RunArgument = Annotated[Path, typer.Argument(help="Output of 'speech2vec-emotion train'.")]
ProtocolOption = Annotated[SplitProtocol, typer.Option("--protocol", help="How the corpus is split.")]
FoldsOption = Annotated[int, typer.Option("--folds", min=2, help="Number of folds of speaker-folds.")]
PresetOption = Annotated[str, typer.Option("--preset", help="default or paper.")]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Number of seeds, starting at --seed.")]

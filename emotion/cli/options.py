"""Arguments and options that several commands of `speech2vec-emotion` take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotion.data.splits import SplitProtocol

PreparedArgument = Annotated[Path, typer.Argument(help="What 'speech2vec-emotion prepare' wrote.")]


RunArgument = Annotated[Path, typer.Argument(help="What 'speech2vec-emotion train' wrote.")]


ProtocolOption = Annotated[SplitProtocol, typer.Option("--protocol", help="Who is tested on.")]


FoldsOption = Annotated[int, typer.Option("--folds", min=3, help="Number of speaker folds.")]


PresetOption = Annotated[str, typer.Option("--preset", help="default or paper.")]


SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="How many seeds, from --seed on.")]

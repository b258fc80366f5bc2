"""Settings of the model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from speech2vec.runtime.config import Settings


class ModelSettings(Settings):
    """The network (Chung & Glass 2018, section 2).

    Parameters
    ----------
    objective : str
        `skipgram`: the centre's z generates each neighbour; `cbow`: the sum of the neighbours' z generates the centre.
    vector_size : int
        Dimension of z; half of it a direction if bidirectional.
    bidirectional : bool
    cell : str
        `lstm`, or `gru`, of encoder and decoder.
    decoder : str
        `conditioned`: started from z and given z at every step, as published. `attention`: started from z and attending
        over all states of the encoder, as in the reality check of 2022; what it generates need not pass through z.
    teacher_forcing : bool
        The decoder's input is the true previous frame; else its own previous output, so that all it knows of a
        neighbour comes through z.
    engine : str
        What computes the recurrence: `auto` (compiled on a CPU, `triton` on a GPU that runs it), `triton` (kernels for
        GPUs) or `steps` (torch's operators, step by step). It is no part of the result: it is not kept with a run and
        may change from one session to the next.
    """

    objective: Literal["skipgram", "cbow"] = "skipgram"
    vector_size: int = Field(50, ge=1, le=4096)
    bidirectional: bool = True
    cell: Literal["lstm", "gru"] = "lstm"
    decoder: Literal["conditioned", "attention"] = "conditioned"
    teacher_forcing: bool = False
    engine: Literal["auto", "triton", "steps"] = Field("auto", exclude=True)

    @model_validator(mode="after")
    def _even(self) -> ModelSettings:
        if self.bidirectional and self.vector_size % 2:
            raise ValueError(f"a bidirectional encoder needs an even vector_size, not {self.vector_size}")
        return self

    @model_validator(mode="after")
    def _attention(self) -> ModelSettings:
        if self.decoder == "attention":
            if self.objective == "cbow":
                raise ValueError(
                    "a decoder that attends takes objective = 'skipgram' (CBOW has no one word to attend to)"
                )
            if not self.teacher_forcing:
                raise ValueError("a decoder that attends takes teacher_forcing = true")
        return self

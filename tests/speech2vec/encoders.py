"""Tiny pretrained audio encoders with random weights, saved as real ones are."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from transformers import (
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)

WIDTH = 32


def _whisper_config() -> WhisperConfig:
    return WhisperConfig(
        d_model=WIDTH,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )


def save_whisper(folder: Path, seed: int = 0) -> Path:
    """A Whisper model as transformers saves one."""
    torch.manual_seed(seed)
    WhisperModel(_whisper_config()).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    return folder


def save_converted_whisper(folder: Path, quantization: str | None = None) -> WhisperForConditionalGeneration:
    """A Whisper model in CTranslate2's format, by its own converter; returns the model."""
    from ctranslate2.converters.transformers import WhisperLoader
    from ctranslate2.specs.whisper_spec import WhisperConfig as ConvertedConfig

    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(_whisper_config()).eval()
    with torch.no_grad():  # which start at zero and one
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    spec = WhisperLoader().get_model_spec(copy.deepcopy(model))  # which it quantises in place
    spec.register_vocabulary([f"<{i}>" for i in range(64)])
    spec._config = ConvertedConfig(suppress_ids=[], suppress_ids_begin=[], lang_ids=[], alignment_heads=[])
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    return model


def save_wavlm(folder: Path, do_normalize: bool = True, **changed: object) -> Path:
    """A WavLM model as transformers saves one."""
    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        **changed,
    )
    WavLMModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return folder

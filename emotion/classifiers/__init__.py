"""The classifiers: one protocol, one module each."""

from __future__ import annotations

# By name; here, so that help can list them without loading them.
CLASSIFIERS = {
    "acoustic": "emotion.classifiers.networks:Acoustic",
    "embedding": "emotion.classifiers.networks:Embedding",
    "dual": "emotion.classifiers.networks:Dual",
    "pretrained": "emotion.classifiers.pretrained:Pretrained",
    "voice": "emotion.classifiers.voice:VoiceSvm",
    "svm": "emotion.classifiers.svm:Svm",
    "evector": "emotion.classifiers.evector:Evector",
    "mcnn_lstm": "emotion.classifiers.mcnn_lstm:McnnLstm",
    "hmm": "emotion.classifiers.hmm:Hmm",
    "dnn_elm": "emotion.classifiers.dnn_elm:DnnElm",
    "spectrogram_cnn": "emotion.classifiers.spectrogram_cnn:SpectrogramCnn",
    "egemaps": "emotion.classifiers.opensmile:Egemaps",
    "compare": "emotion.classifiers.opensmile:Compare",
}

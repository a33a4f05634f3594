"""fastai: the language model and the classifier that its text learners make."""

from typing import Any

from torch import nn

from benchmarks.field.case import Case, tokens


def _config(get: Any) -> Any:
    from fastai.text.all import awd_lstm_clas_config, awd_lstm_lm_config

    config = (awd_lstm_lm_config if get == "lm" else awd_lstm_clas_config).copy()
    config.update(emb_sz=6, n_hid=8, n_layers=2)
    return config


def _awd_lstm() -> nn.Module:
    from fastai.text.all import AWD_LSTM

    return AWD_LSTM(20, 6, 8, 2)


def _language_model() -> nn.Module:
    from fastai.text.all import AWD_LSTM, get_language_model

    model: nn.Module = get_language_model(AWD_LSTM, 20, config=_config("lm"))
    return model


def _classifier() -> nn.Module:
    from fastai.text.all import AWD_LSTM, get_text_classifier

    model: nn.Module = get_text_classifier(AWD_LSTM, 20, 2, seq_len=8, config=_config("clas"))
    return model


CASES = (
    Case("AWD_LSTM", _awd_lstm, tokens(20)),
    Case("language model", _language_model, tokens(20)),
    Case("text classifier", _classifier, tokens(20), serves="whole"),
)

"""torchaudio: the recurrent and streaming parts of its speech models."""

from typing import Any

import torch
from torch import nn

from benchmarks.field.case import Case


def _rnnt() -> Any:
    from torchaudio.models.rnnt import emformer_rnnt_model

    return emformer_rnnt_model(
        input_dim=8,
        encoding_dim=6,
        num_symbols=12,
        segment_length=8,
        right_context_length=4,
        time_reduction_input_dim=4,
        time_reduction_stride=2,
        transformer_num_heads=2,
        transformer_ffn_dim=16,
        transformer_num_layers=2,
        transformer_dropout=0.0,
        transformer_activation="gelu",
        transformer_left_context_length=4,
        transformer_max_memory_size=0,
        transformer_weight_init_scale_strategy="depthwise",
        transformer_tanh_on_mem=False,
        symbol_embedding_dim=10,
        num_lstm_layers=2,
        lstm_layer_norm=True,
        lstm_layer_norm_epsilon=1e-3,
        lstm_dropout=0.0,
    )


def _predictor() -> nn.Module:
    module: nn.Module = _rnnt().predictor
    return module


def _transcriber() -> nn.Module:
    module: nn.Module = _rnnt().transcriber
    return module


def _emformer() -> nn.Module:
    from torchaudio.models import Emformer

    return Emformer(8, 2, 16, 2, segment_length=4, right_context_length=1)


def _tacotron2() -> Any:
    from torchaudio.models import Tacotron2

    return Tacotron2(
        n_symbol=20,
        n_mels=8,
        symbol_embedding_dim=16,
        encoder_embedding_dim=16,
        encoder_n_convolution=1,
        attention_rnn_dim=12,
        attention_hidden_dim=8,
        attention_location_n_filter=4,
        attention_location_kernel_size=5,
        decoder_rnn_dim=12,
        prenet_dim=6,
        postnet_n_convolution=1,
        postnet_embedding_dim=8,
    )


def _tacotron2_encoder() -> nn.Module:
    module: nn.Module = _tacotron2().encoder
    return module


def _tacotron2_step() -> nn.Module:
    class Step(nn.Module):
        """One step of the decoder as the library's `infer` calls it."""

        def __init__(self) -> None:
            super().__init__()
            self.decoder = _tacotron2().decoder

        def forward(self, x: torch.Tensor, state: Any, memory: torch.Tensor) -> Any:
            processed = self.decoder.attention_layer.memory_layer(memory)
            mask = torch.zeros(memory.shape[:2], dtype=torch.bool)
            h, c, dh, dc, weights, total, context = state
            out, gate, *state = self.decoder.decode(
                x, h, c, dh, dc, weights, total.clone(), context, memory, processed, mask
            )
            return out, gate, state

    return Step()


def _deep_speech() -> nn.Module:
    from torchaudio.models import DeepSpeech

    return DeepSpeech(n_feature=6, n_hidden=12, n_class=5)


def _wave_rnn() -> nn.Module:
    from torchaudio.models import WaveRNN

    return WaveRNN(
        upsample_scales=[2, 2],
        n_classes=8,
        hop_length=4,
        n_res_block=1,
        n_rnn=12,
        n_fc=8,
        kernel_size=3,
        n_freq=6,
        n_hidden=8,
        n_output=8,
    )


def _symbols(batch: int, time: int) -> tuple[Any, ...]:
    return torch.randint(0, 12, (batch, time)), torch.full((batch,), time, dtype=torch.int32)


def _frames(right: int) -> Any:
    def inputs(batch: int, time: int) -> tuple[Any, ...]:
        lengths = torch.full((batch,), time, dtype=torch.int32)
        return torch.randn(batch, time + right, 8), lengths

    return inputs


def _text(batch: int, time: int) -> tuple[Any, ...]:
    return torch.randn(batch, 16, time), torch.full((batch,), time)


def _decoding(batch: int, time: int) -> tuple[Any, ...]:
    sizes = (12, 12, 12, 12, 7, 7, 16)
    states = tuple(torch.zeros(batch, size) for size in sizes)
    return torch.randn(batch, 6), states, torch.randn(batch, 7, 16)


def _channel(batch: int, time: int) -> tuple[Any, ...]:
    return (torch.randn(batch, 1, time, 6),)


def _wave(batch: int, time: int) -> tuple[Any, ...]:
    return torch.randn(batch, 1, (time - 2) * 4), torch.randn(batch, 1, 6, time)


CASES = (
    Case("RNNT predictor", _predictor, _symbols),
    Case("RNNT transcriber", _transcriber, _frames(4), serves="whole", time=16),
    Case("Emformer", _emformer, _frames(1), serves="whole", time=16),
    Case("Tacotron2 encoder", _tacotron2_encoder, _text, serves="whole"),
    Case(
        "Tacotron2 decoder, one step",
        _tacotron2_step,
        _decoding,
        carry=lambda args, out: (args[0], tuple(out[2]), args[2]),
    ),
    Case("DeepSpeech", _deep_speech, _channel, serves="whole"),
    Case("WaveRNN", _wave_rnn, _wave, serves="whole", least=5),
)

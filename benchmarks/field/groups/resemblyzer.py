"""Resemblyzer: the speaker encoder, with the weights that it comes with."""

from torch import nn

from benchmarks.field.case import Case, batch_first


def _encoder() -> nn.Module:
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


CASES = (Case("VoiceEncoder", _encoder, batch_first(40), serves="last", time=20),)

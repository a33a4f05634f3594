"""The reference models by name."""

from carousel.models.zoo.attention import ATTENTION
from carousel.models.zoo.hello import HELLO_RNN, HELLO_RNNCELL
from carousel.models.zoo.layers import LAYERS
from carousel.models.zoo.reference import Reference
from carousel.models.zoo.reverse import REVERSE_DECODER, REVERSE_ENCODER
from carousel.models.zoo.simple_lstm import SIMPLE_LSTM

REFERENCES: dict[str, Reference] = {
    reference.name: reference
    for reference in (
        *(*LAYERS, SIMPLE_LSTM, HELLO_RNNCELL, HELLO_RNN, ATTENTION),
        *(REVERSE_ENCODER, REVERSE_DECODER),
    )
}

"""The reference models by name."""

from models.zoo.attention import ATTENTION
from models.zoo.hello import HELLO_RNN, HELLO_RNNCELL
from models.zoo.layers import LAYERS
from models.zoo.reference import Reference
from models.zoo.reverse import REVERSE_DECODER, REVERSE_ENCODER
from models.zoo.simple_lstm import SIMPLE_LSTM

REFERENCES: dict[str, Reference] = {
    reference.name: reference
    for reference in (
        *(*LAYERS, SIMPLE_LSTM, HELLO_RNNCELL, HELLO_RNN, ATTENTION),
        *(REVERSE_ENCODER, REVERSE_DECODER),
    )
}

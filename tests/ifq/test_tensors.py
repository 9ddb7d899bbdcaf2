"""The tensors of a file, and the order of bits in them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq.limits import MAX_ACCUMULATOR
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.ifq.tensors import (
    TensorType,
    bit_tensor,
    input_bits,
    pack_bits,
    substructure_tensors,
    unpack_bits,
)


@pytest.mark.parametrize("shape", [(1,), (8,), (3, 5), (2, 3, 3, 3)])
def test_bits_are_packed_lowest_first_and_unpacked_again(shape: tuple[int, ...]) -> None:
    bits = np.random.default_rng(0).random(shape) < 0.5
    packed = pack_bits(bits)
    assert packed.dtype == np.uint8
    assert packed.shape == bit_tensor(bits.size).shape
    for index, bit in enumerate(bits.ravel().tolist()):
        assert bool(packed[index // 8] >> index % 8 & 1) == bit
    assert int.from_bytes(packed.tobytes(), "little") >> bits.size == 0
    np.testing.assert_array_equal(unpack_bits(packed, shape), bits)
    assert unpack_bits(packed, shape).dtype == np.bool_


def test_the_tensors_of_substructures() -> None:
    # 15 * 250 fits int16, and so does 255 * 27; 15 * 300 * 9 does not.
    blocks = [Block(300, bits=4), Block(5, pool=(2, 2), bits=3)]
    chain = integer_chain(Network.parse(ifq_cfg(blocks, 8, 8)))
    assert input_bits(chain) == [8, 4, 3]
    first, second, last = (substructure_tensors(*pair) for pair in zip(chain, input_bits(chain), strict=True))
    assert first == {"weights": bit_tensor(300 * 27), "thresholds": TensorType(np.int16, (300, 15))}
    assert second == {"weights": bit_tensor(5 * 2700), "thresholds": TensorType(np.int32, (5, 7))}
    filters = chain[-1].convolution.filters
    assert last == {
        "weights": bit_tensor(filters * 5),
        "multipliers": TensorType(np.int32, (filters,)),
        "biases": TensorType(np.int32, (filters,)),
    }
    assert [tensor.nbytes for tensor in second.values()] == [5 * 2700 // 8 + 1, 5 * 7 * 4]


def test_an_accumulator_that_is_too_large() -> None:
    (part, *_) = integer_chain(Network.parse(ifq_cfg([Block(4, size=31, padding=15)], 32, 32, 100)))
    assert MAX_ACCUMULATOR < 255 * 100 * 31 * 31
    with pytest.raises(ConversionError, match="an accumulator that reaches 24505500, beyond"):
        substructure_tensors(part, 8)

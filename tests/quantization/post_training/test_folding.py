from __future__ import annotations

import numpy as np
import pytest

from tests import fixed_point_detector
from tests.quantization.test_partial import alexnet
from tests.small_ifq import CFG as BINARY_CFG
from tests.small_ifq import parameters as random_arrays
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError, WeightsError
from tinier_yolo.quantization.post_training.folding import float_maps, fold
from tinier_yolo.runtime.float_engine import FloatEngine


def test_the_folded_network_is_the_float_network() -> None:
    text = fixed_point_detector.CFG.replace("size=1\n", "size=3\npad=1\n", 2).replace(
        "[maxpool]\nsize=2", "[maxpool]\nsize=3", 1
    )
    network = Network.parse(text)
    parameters = random_arrays(network, seed=3)
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    expected = FloatEngine(network, parameters).run(image)
    assert float_maps(fold(network, parameters), image)[-1] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_what_has_no_fixed_point_form_is_named() -> None:
    binary = Network.parse(BINARY_CFG)
    with pytest.raises(ConversionError, match=r"line 6, \[convolutional\]: a binary layer"):
        fold(binary, random_arrays(binary))
    partly = Network.parse(alexnet())  # A [batchnorm] of its own, which has no form here either, stands before it.
    with pytest.raises(ConversionError, match=r"line 14, \[convolutional\]: a binary layer"):
        fold(partly, random_arrays(partly))
    logistic = Network.parse(fixed_point_detector.CFG.replace("activation=relu", "activation=logistic"))
    with pytest.raises(ConversionError, match="no fixed-point form of activation=logistic"):
        fold(logistic, random_arrays(logistic))
    two_pools = Network.parse(fixed_point_detector.CFG.replace("[maxpool]", "[maxpool]\nsize=1\n\n[maxpool]", 1))
    with pytest.raises(ConversionError, match="no fixed-point form of this layer here"):
        fold(two_pools, random_arrays(two_pools))


def test_a_variance_below_zero_is_named() -> None:
    network = fixed_point_detector.network()
    arrays = fixed_point_detector.parameters()
    arrays[2]["variances"][1] = -1
    with pytest.raises(WeightsError, match=r"layer 2 \[convolutional\]: the weights give numbers that are not finite"):
        fold(network, arrays)

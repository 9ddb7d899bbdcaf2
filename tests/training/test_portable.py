from __future__ import annotations

import torch

from tests.training.conftest import tiny_cfg
from tests.training.test_model import randomised
from tinier_yolo.darknet.network import Network
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.portable import portable


def test_small_variances_grow_and_nothing_else_changes() -> None:
    network = Network.parse(tiny_cfg(binary=False))
    model = randomised(network)
    arrays = model.parameters_of_layers()
    arrays[0]["variances"][:] = 1e-4
    model.load_parameters(arrays)
    scaled = DarknetModel(network).eval()
    scaled.load_parameters(portable(network, arrays))
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(
            scaled.double()(image.double()), model.double()(image.double()), rtol=1e-4, atol=1e-4
        )
    assert all(layer["variances"].min() >= 1 for layer in scaled.parameters_of_layers() if "variances" in layer)


def test_binary_convolutions_stay_as_they_are() -> None:
    network = Network.parse(tiny_cfg(binary=True))
    arrays = randomised(network).parameters_of_layers()
    assert all(a is b for a, b in zip(arrays, portable(network, arrays), strict=True))

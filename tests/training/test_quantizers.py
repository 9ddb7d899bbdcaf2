from __future__ import annotations

import numpy as np
import pytest
import torch

from tinier_yolo.quantization.hwgq import binarize, quantizer_for
from tinier_yolo.training.quantizers import binary_sign, filter_scale, quantize_levels


def test_weights_agree_with_the_numpy_definition() -> None:
    weights = torch.randn(5, 3, 3, 3)
    weights[0, 0, 0, 0] = 0.0
    signs, alpha = binarize(weights.numpy())
    np.testing.assert_array_equal(binary_sign(weights).numpy(), signs)
    assert binary_sign(weights)[0, 0, 0, 0] == 1
    np.testing.assert_allclose(filter_scale(weights).numpy(), alpha, rtol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["uniform", "half-wave"])
def test_levels_agree_with_the_numpy_definition(bits: int, kind: str) -> None:
    quantizer = quantizer_for(bits, kind)
    values = torch.cat(
        [torch.randn(1000, dtype=torch.float64) * 2, torch.tensor(quantizer.thresholds, dtype=torch.float64)]
    )
    np.testing.assert_array_equal(quantize_levels(values, quantizer).numpy(), quantizer.quantize(values.numpy()))


def test_gradients_pass_straight_through() -> None:
    weights = torch.tensor([[0.5, -2.0]], requires_grad=True)
    (binary_sign(weights) * torch.tensor([3.0, 4.0])).sum().backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [[3.0, 4.0]]
    quantizer = quantizer_for(2, "uniform")
    top = 3 * quantizer.step
    values = torch.tensor([-0.1, 0.1, top - 0.1, top + 0.1], requires_grad=True)
    quantize_levels(values, quantizer).sum().backward()
    assert values.grad is not None
    np.testing.assert_allclose(values.grad.numpy(), np.array([0, 1, 1, 0]) / quantizer.step, rtol=1e-6)

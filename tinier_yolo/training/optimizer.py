"""The optimiser of a network: which of its parameters decay."""

from __future__ import annotations

import torch
from torch import nn

from tinier_yolo.training.model import DarknetModel

#: The gradient of all parameters together is shortened to this length.
MAX_GRADIENT = 10.0


def make_optimizer(model: DarknetModel) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum, as the cfg's [net] says.

    Decay pulls on float products only. A latent binary weight's size means nothing, save for its sign's inertia.
    """
    net = model.network.options
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in model.children_of_layers:
        binary = getattr(getattr(module, "layer", None), "binary", False)
        for name, parameter in module.named_parameters():
            (decayed if name == "weights" and not binary else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": net.decay}, {"params": free, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if net.adam:
        return torch.optim.AdamW(groups, lr=net.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=net.learning_rate, momentum=net.momentum)

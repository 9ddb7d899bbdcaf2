"""The optimiser of a network: which of its parameters decay, and which move by orthogonal steps."""

from __future__ import annotations

import torch
from torch import nn

from tinier_yolo.training.model import DarknetModel, Weighted, batch_norm_after
from tinier_yolo.training.muon import Muon

#: The gradient of all parameters together is shortened to this length.
MAX_GRADIENT = 10.0


def make_optimizer(model: DarknetModel) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum, as the cfg's [net] says; with ``muon`` Muon for most filters beside it.

    Decay pulls on float products only. A latent binary weight's size means nothing, save for its sign's inertia.
    """
    net = model.network.options
    turned: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    layers_turned = _layers_turned(model) if net.muon else []
    for index, module in enumerate(model.children_of_layers):
        binary = getattr(getattr(module, "layer", None), "binary", False)
        for name, parameter in module.named_parameters():
            if name == "weights" and index in layers_turned:
                turned.append(parameter)
            else:
                (decayed if name == "weights" and not binary else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": net.decay}, {"params": free, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    optimizer: torch.optim.Optimizer
    if net.adam:
        optimizer = torch.optim.AdamW(groups, lr=net.learning_rate, fused=True)
    else:
        optimizer = torch.optim.SGD(groups, lr=net.learning_rate, momentum=net.momentum)
    return Muon(turned, net.muon / net.learning_rate, net.momentum, optimizer) if turned else optimizer


def _layers_turned(model: DarknetModel) -> list[int]:
    """The layers whose weights Muon moves: all before a batch normalisation that takes its statistics from the batch.

    But for the first of them, which has too few inputs, and so no directions to bring forward.
    """
    if not model.estimates_norms:
        return []
    layers = model.network.layers
    found = [
        index
        for index, module in enumerate(model.children_of_layers)
        if isinstance(module, Weighted) and (module.norm is not None or batch_norm_after(layers, index) is not None)
    ]
    return found[1:]

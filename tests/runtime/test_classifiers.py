"""Integer programs of classifiers: connected layers are convolutions over the whole map, for the kernels too."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import random_image, random_program
from tests.random_fixed_point import random_program as random_fixed_point_program
from tinier_yolo.classification.classifier import Classifier
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.fixed_point import reference as fixed_point_reference
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.engine import Engine

NET = "[net]\nwidth=12\nheight=12\n"
BINARY = "[{kind}]\nbinary=1\n{keys}activation=linear\n"
NORM = "[batchnorm]\n[activation]\nactivation=hwgq\nbits={bits}\n"


def binary_cfg(bits: int) -> str:
    """A convolution, connected layers over 6x6 and over one cell, the last of them the output."""
    text = (
        NET + BINARY.format(kind="convolutional", keys="filters=9\nsize=3\npad=1\n") + "[maxpool]\nsize=2\nstride=2\n"
    )
    text += NORM.format(bits=bits)
    for outputs in (33, 40):
        text += BINARY.format(kind="connected", keys=f"output={outputs}\n") + NORM.format(bits=bits) + "[dropout]\n"
    return text + BINARY.format(kind="connected", keys="output=10\n") + "[softmax]\n[cost]\n"


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_connected_layers_of_a_binary_program(bits: int) -> None:
    rng = np.random.default_rng(bits)
    image = random_image(rng, 12, 12)
    program = Program.from_bytes(random_program(binary_cfg(bits), rng, image).to_bytes())
    for _ in range(3):
        maps, output = Engine(program).run_maps(image)
        expected, expected_output = reference.run_maps(program, image)
        for found, wanted in zip(maps, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(output, expected_output)
        image = random_image(rng, 12, 12)


FIXED = {
    "connected": NET + "[convolutional]\nfilters=9\nsize=3\npad=1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n"
    "[connected]\noutput=33\nactivation=leaky\n[dropout]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
    "mean": NET + "[convolutional]\nfilters=9\nsize=3\npad=1\nactivation=relu\n[convolutional]\nfilters=10\nsize=1\n"
    "activation=linear\n[avgpool]\n[softmax]\n[cost]\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", FIXED)
def test_fixed_point_programs_of_classifiers(kind: str) -> None:
    rng = np.random.default_rng(0)
    made = random_fixed_point_program(rng, text=FIXED[kind])
    program = FixedPointProgram.from_bytes(made.to_bytes())
    engine = Engine(program)
    classifier = Classifier(engine, program.network, tuple("abcdefghij"), program.fraction_bits, "integers")
    for _ in range(3):
        image = random_image(rng, 12, 12)
        output = engine.run(image)
        np.testing.assert_array_equal(output, fixed_point_reference.run_maps(program, image)[-1])
        unit = 2.0**-program.fraction_bits
        np.testing.assert_allclose(classifier.logits(image), output.mean(axis=(1, 2)) * unit, rtol=1e-12)

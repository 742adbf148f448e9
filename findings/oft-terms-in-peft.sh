#!/usr/bin/env bash
# PEFT forms OFT's rotations by a series in place of an inverse: (1 + S)(1 - S)^-1 = 1 + 2 S + 2 S^2 + .. of a skew S; num_cayley_neumann_terms says how many terms.
#
# The guess: N terms are 1, 2 S, .. 2 S^(N - 1), and each N is another rotation, so that who reads such an adapter elsewhere sums N terms.
# What happens (PEFT 0.21.0): one and two terms are so. From three on the last power counts once in place of twice, and three terms are the four of N = 4: 1 + 2 S + 2 S^2 + S^3.
# The default of five ends with S^4, once. So a layer's weights cannot be told from N = 3 or 4, and a reader that sums the plain series is off by the last power.
#
# Usage: findings/oft-terms-in-peft.sh    (some 3 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 transformers==5.23.0 accelerate==1.15.0 peft==0.21.0
cd "$scratch"
env/bin/python - << 'PYTHON' 2> warnings || { cat warnings >&2; exit 1; }
import torch
from peft import OFTConfig, get_peft_model

torch.set_default_dtype(torch.float64)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4, bias=False)

    def forward(self, x):
        return self.layer(x)


def rotation(terms):
    """What the layer reads of the unit vectors: the rotation, and the skew matrix that it is of."""
    torch.manual_seed(1)
    model = get_peft_model(Model(), OFTConfig(oft_block_size=4, target_modules=["layer"], num_cayley_neumann_terms=terms, init_weights=False))
    layer = model.base_model.model.layer
    layer.get_base_layer().weight.data = torch.eye(4)
    part = layer.oft_R["default"]
    part.weight.data = part.weight.data.double()
    skew = torch.zeros(4, 4)
    skew[part.rows, part.cols] = part.weight.data[0]
    return model(torch.eye(4)).detach(), skew - skew.T


def series(skew, factors):
    return sum(factor * torch.linalg.matrix_power(skew, power) for power, factor in enumerate(factors))


found = {1: [1], 2: [1, 2], 3: [1, 2, 2, 1], 4: [1, 2, 2, 1], 5: [1, 2, 2, 2, 1], 6: [1, 2, 2, 2, 2, 1]}
for terms, factors in found.items():
    rotated, skew = rotation(terms)
    assert torch.allclose(rotated, series(skew, factors), atol=1e-12), (terms, rotated, series(skew, factors))
    plain = series(skew, [1] + [2] * (terms - 1))
    print(f"{terms} terms: the powers of S count {', '.join(map(str, factors))}; off the plain series by {(rotated - plain).abs().max():.1e}")
assert torch.equal(rotation(3)[0], rotation(4)[0])
print("three terms are four, to the bit")
PYTHON

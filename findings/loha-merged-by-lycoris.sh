#!/usr/bin/env bash
# LyCORIS trains LoHa and LoKr adapters, and can merge them into the model.
#
# The guess: the merged model computes what the model with the adapter beside it computed.
# What happens (lycoris-lora 4.1.3): where alpha is not the rank, it does not. The forward pass multiplies the difference by alpha / rank once; merge_to multiplies
# it twice, as get_diff_weight scales what get_weight has scaled before. With alpha half the rank a merged LoHa or LoKr is half as strong. LoRA (LoCon) is merged rightly,
# and so is what has alpha equal to its rank, which is why it is seldom seen. What holds everywhere: w + alpha / rank * difference.
#
# Usage: findings/loha-merged-by-lycoris.sh    (some 2 GB in a temporary folder; no checkpoint is needed). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 lycoris-lora==4.1.3
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import logging
import torch
logging.disable(logging.CRITICAL)
from lycoris import LycorisNetwork, create_lycoris



class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(16, 16, bias=False)


torch.manual_seed(0)
for algo, options, expected in (("locon", {}, 1.0), ("loha", {}, 0.5), ("lokr", {"factor": 2}, 0.5)):
    with torch.no_grad():
        model = torch.nn.Sequential(Block())
        linear = model[0].linear
        plain = linear.weight.clone()
        LycorisNetwork.apply_preset({"target_module": ["Block"]})
        network = create_lycoris(model, 1.0, linear_dim=2, linear_alpha=1, algo=algo, **options)
        network.apply_to()
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        beside = linear(torch.eye(16)).T - plain
        network.restore()
        network.merge_to(1.0)
        ratio = ((linear.weight - plain).norm() / beside.norm()).item()
    print(f"{algo}, alpha / rank = 0.5: merged over beside {ratio:.3f}")
    assert abs(ratio - expected) < 1e-3
PYTHON

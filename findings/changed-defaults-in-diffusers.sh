#!/usr/bin/env bash
# A model like another one but for some settings: take its configuration as a dictionary, change what is to be other, and give it to from_config.
#
# The guess: from_config makes a model of what the dictionary says.
# What happens (diffusers 0.42.1): a setting that was left at its default when the first model was made stays at the default, whatever the dictionary says by now, and nobody is
# told. The configuration remembers in `_use_default_values` which settings were defaults, dict() and a copy take that list along, and from_config drops those keys before it
# reads them. Settings that were given by name are taken as changed. Who changes them as arguments (from_config(config, num_layers=1)) or without that key gets what was asked
# for. A FLUX.1 made so for a test had 11.9 billion numbers in place of 1.2.
#
# Usage: findings/changed-defaults-in-diffusers.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 safetensors==0.8.0
cd "$scratch"
env/bin/python - << 'PYTHON' 2> warnings || { cat warnings >&2; exit 1; }
from diffusers import AutoencoderKL

first = AutoencoderKL(norm_num_groups=4, block_out_channels=(8,))
changed = dict(first.config)
changed["latent_channels"] = 8  # a default of the first
changed["norm_num_groups"] = 2  # given by name
assert "latent_channels" in changed["_use_default_values"] and "norm_num_groups" not in changed["_use_default_values"]

made = AutoencoderKL.from_config(changed)
assert made.config.norm_num_groups == 2 and made.config.latent_channels == 4, made.config
print(f"asked for 8 latent channels and 2 groups, made with {made.config.latent_channels} and {made.config.norm_num_groups}")

named = AutoencoderKL.from_config(changed, latent_channels=8)
assert named.config.latent_channels == 8
del changed["_use_default_values"]
assert AutoencoderKL.from_config(changed).config.latent_channels == 8
print("by name, or without _use_default_values: 8")
PYTHON

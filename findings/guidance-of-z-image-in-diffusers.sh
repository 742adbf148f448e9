#!/usr/bin/env bash
# Switch guidance off in Z-Image's pipeline by guidance_scale=1, as its documentation and most pipelines have it; or compare a guidance with another family's.
#
# The guess: up to 1 there is no guidance ("enabled by setting guidance_scale > 1", the pipeline's own text), and w means what it means elsewhere: negative + w (positive - negative).
# What happens (diffusers 0.42.1): guidance begins over 0, and w is counted from the prompt's own prediction: positive + w (positive - negative). So 1 is what others call 2: each
# step computes two rows, and the picture is another one than without. Off is 0; the usual w of other pipelines is w - 1 here.
#
# Usage: findings/guidance-of-z-image-in-diffusers.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 safetensors==0.8.0
cd "$scratch"
cat > try.py << 'PYTHON'
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

torch.manual_seed(0)
model = ZImageTransformer2DModel(all_patch_size=(2,), all_f_patch_size=(1,), in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
                                 axes_dims=[4, 6, 6], axes_lens=[64, 16, 16]).eval()
with torch.no_grad():
    for one in model.parameters():
        one.normal_(0, 0.2)
vae = AutoencoderKL(latent_channels=4, block_out_channels=(8,), norm_num_groups=4, scaling_factor=1.0, shift_factor=0.0)
pipe = ZImagePipeline(FlowMatchEulerDiscreteScheduler(), vae, None, None, model)
pipe.set_progress_bar_config(disable=True)
prompt, negative = torch.randn(7, 16), torch.randn(5, 16)
rows, inputs = [], []
forward = model.forward
def counted(x, *args, **kwargs):
    rows.append(len(x))
    inputs.append(x[0].clone())
    return forward(x, *args, **kwargs)
model.forward = counted

def latents(scale, steps=2):
    rows.clear()
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    out = pipe(prompt_embeds=[prompt], negative_prompt_embeds=[negative], guidance_scale=scale, num_inference_steps=steps, latents=start, output_type="latent", height=8, width=8)
    return out.images[0] if hasattr(out, "images") else out[0]

said = " ".join(ZImagePipeline.__call__.__doc__.split())
assert "Guidance scale is enabled by setting `guidance_scale > 1`" in said
off = latents(0.0)
assert rows == [1, 1], rows
one = latents(1.0)
print("rows of the denoiser a step at guidance_scale 1:", rows, "- largest change against 0:", round(float((one - off).abs().max()), 3))
assert rows == [2, 2] and not torch.allclose(one, off)

# One step is linear in the prediction: what w adds tells how it is counted.
at = {scale: latents(scale, steps=1) for scale in (0.0, 1.0, 2.0)}
assert torch.allclose(at[2.0] - at[0.0], 2 * (at[1.0] - at[0.0]), atol=1e-4)
swap = prompt, negative
prompt, negative = negative, prompt
unguided_negative = latents(0.0, steps=1)
# positive + 1 (positive - negative) = 2 positive - negative
assert torch.allclose(at[1.0], 2 * at[0.0] - unguided_negative, atol=1e-4)
print("guidance_scale 1 is 2 positive - negative: what other pipelines call 2")
PYTHON
env/bin/python try.py 2> warnings || { cat warnings >&2; exit 1; }

"""Draws one prompt with a model folder (sign-unet, sign-pixel) in diffusers and compares it with the picture Glyphscope drew.

usage: check_in_diffusers.py MODEL_FOLDER GLYPHSCOPE   (Python with diffusers and transformers)
Exits with 1 if more than 0.1 % of the pixels differ by more than 1/255.
"""

import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import DiffusionPipeline, IFPipeline
from PIL import Image

STEPS, GUIDANCE, SEED = 20, 3.0, 42

folder, program = sys.argv[1:3]
pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
# sign-pixel knows words of three letters alone.
PROMPT = f'a round red sign that says "{"CAT" if "pixel" in folder else "LOVE"}" on a blue wall'
pipeline.set_progress_bar_config(disable=True)


def embedded(text):
    """As the tokenizer says: IFPipeline itself would pad to 77 tokens whatever the model was trained with."""
    given = pipeline.tokenizer(text, padding="max_length", max_length=pipeline.tokenizer.model_max_length, truncation=True, return_tensors="pt")
    return pipeline.text_encoder(given.input_ids, attention_mask=given.attention_mask)[0]


with torch.no_grad():
    prompt = {"prompt": PROMPT}
    if isinstance(pipeline, IFPipeline):
        prompt = {"prompt_embeds": embedded(PROMPT.lower()), "negative_prompt_embeds": embedded("")}
    arguments = dict(num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=torch.Generator().manual_seed(SEED), output_type="np")
    theirs = np.asarray(pipeline(**prompt, **arguments).images[0])
with tempfile.TemporaryDirectory() as work:
    subprocess.run([program, "generate", folder, "--prompt", PROMPT, "--steps", str(STEPS), "--guidance", str(GUIDANCE), "--seed", str(SEED), "--dtype", "fp32",
                    "--out", f"{work}/ours.png"], check=True, capture_output=True)
    ours = np.asarray(Image.open(f"{work}/ours.png")).astype(np.int64)
difference = np.abs(ours - np.round(theirs * 255).astype(np.int64))
share = (difference.max(-1) <= 1).mean()
print(f"{folder}: {100 * share:.2f} % of {difference.shape[0] * difference.shape[1]} pixels within 1/255, largest difference {difference.max()}")
sys.exit(int(share < 0.999))

#!/usr/bin/env python3
"""Z-Image's references: z_image (its transformer) and pipeline_z_image (whole generations), in the folder given. Usage: make_z_image.py data
Needs what make_golden.py needs, and gguf 0.19.0. Every model is tiny and has random weights from fixed seeds.

z_image/           rows of captions that end in different blocks of 32 tokens; what each site's K and V of the caption are, and what comes of others' in their place
gguf/z_image.gguf  the pipeline's transformer in its authors' keys, quantized; z_image_gguf_converted.safetensors: as diffusers converts its numbers
gguf/qwen3/        its text encoder in llama.cpp's names, quantized; what transformers writes with its numbers
pipeline_z_image/  a model folder; "a", "b", "negative", "unguided" and "patched": as diffusers draws them; turns.json: the ids of chat turns, as transformers has them
"""
import json
import shutil
import sys
from pathlib import Path

import gguf
import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from diffusers.loaders import single_file_utils
from diffusers.models.transformers.transformer_z_image import ZSingleStreamAttnProcessor
from gguf_files import numbers as numbers_of
from gguf_files import write as write_gguf
from make_golden import TEXTS, TRAINING_TEXT, build_small_vae, draw, generator, randomise, save, to_bytes, write_json
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, Qwen2Tokenizer, Qwen3Config, Qwen3Model

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Qwen3's, as far as a single message goes.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


class CaptionAttention:
    """Attention in either kind of site; keeps, for every call and row, the caption's keys and values as they are attended to, or puts kept ones in.

    picture: how many rows of the stream are the picture's; the caption's follow.
    """

    def __init__(self, tape, picture, replay=False, heads=None, start=0):
        self.tape, self.picture, self.replay, self.heads, self.start, self.calls = tape, picture, replay, heads, start, 0

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, freqs_cis=None):
        def split(projected):
            return projected.unflatten(-1, (attn.heads, -1))

        def turned(x):
            pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2))) * freqs_cis.unsqueeze(2)
            return torch.view_as_real(pairs).flatten(3)

        query, key = (turned(norm(split(layer(hidden_states)))) for layer, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k)))
        value = split(attn.to_v(hidden_states))
        lengths = [hidden_states.shape[1]] * len(hidden_states) if attention_mask is None else attention_mask.flatten(1).sum(1).tolist()
        if not self.replay:
            self.tape.append([(key[row, self.picture : length], value[row, self.picture : length]) for row, length in enumerate(lengths)])
        rows = []
        for row, length in enumerate(lengths):
            heads = []
            for head in range(attn.heads):
                k, v = key[row, :length, head], value[row, :length, head]
                if self.replay and self.calls >= self.start and (self.heads is None or head in self.heads):
                    kept = self.tape[self.calls][row]
                    k, v = torch.cat([k[: self.picture], kept[0][:, head]]), torch.cat([v[: self.picture], kept[1][:, head]])
                heads.append(F.scaled_dot_product_attention(query[row, :, head], k, v))
            rows.append(torch.stack(heads, 1).flatten(1))
        self.calls += 1
        return attn.to_out[0](torch.stack(rows))


def build(seed, **config):
    config = {"in_channels": 4, "dim": 48, "n_layers": 2, "n_refiner_layers": 2, "n_heads": 2, "n_kv_heads": 2, "cap_feat_dim": 20, "axes_dims": [8, 8, 8]} | config
    model = ZImageTransformer2DModel(**config)
    randomise(model, seed)
    for name in ("x_pad_token", "cap_pad_token"):
        getattr(model, name).copy_(torch.randn(1, config["dim"], generator=generator(seed + 7)))
    return model


def sites(model):
    """Of each the attention, and how many of its rows are the picture's."""
    return [(block.attention, False) for block in model.context_refiner] + [(block.attention, True) for block in model.layers]


def write_transformer(out):
    model = build(2800)
    model.save_pretrained(out)
    noise = generator(2801)
    rows, columns = 3, 5  # 15 tokens, and 17 that fill them up
    picture = 32
    sample, timestep = torch.randn([2, 4, 2 * rows, 2 * columns], generator=noise), torch.tensor([801.5, 17.0])
    captions = {"": [7, 20], "other_": [45, 60], "full_": [32, 1]}
    captions = {name: [torch.randn([length, 20], generator=noise) for length in lengths] for name, lengths in captions.items()}

    def call(own, processors=None, rows=(0, 1)):
        for (attn, _), processor in zip(sites(model), processors or [ZSingleStreamAttnProcessor() for _ in sites(model)]):
            attn.set_processor(processor)
        given = [sample[row].unsqueeze(1) for row in rows]
        return -torch.stack(model(given, (1000 - timestep[list(rows)]) / 1000, own).sample)[:, :, 0]

    tensors = {"sample": sample, "timestep": timestep}
    for name, own in captions.items():
        length = -(-max(map(len, own)) // 32) * 32
        tensors[f"{name}embedding"] = torch.stack([F.pad(one, (0, 0, 0, length - len(one))) for one in own])
        tensors[f"{name}prompt_mask"] = torch.stack([torch.arange(length) < len(one) for one in own])
        tensors[f"{name}output"] = call(own)
    tensors["mixed_output"] = call([captions[""][0], captions["other_"][1]])
    tapes = [[] for _ in sites(model)]
    recorders = [CaptionAttention(tape, picture if both else 0) for tape, (_, both) in zip(tapes, sites(model))]
    torch.testing.assert_close(call(captions["other_"], recorders), tensors["other_output"], rtol=0, atol=1e-5)
    for index, tape in enumerate(tapes):
        (kept,) = tape
        for part, name in enumerate(("key", "value")):
            tensors[f"other.{index}.{name}"] = torch.stack([row[part].transpose(0, 1) for row in kept])

        def patched(heads=None):
            processors = [ZSingleStreamAttnProcessor() for _ in tapes]
            processors[index] = CaptionAttention(tape, picture if sites(model)[index][1] else 0, replay=True, heads=heads)
            return call(captions[""], processors)

        tensors[f"patched.{index}.output"] = patched()
        assert (tensors[f"patched.{index}.output"] - tensors["output"]).abs().max() > 1e-3, f"the patch at {index} does nothing"
        if index == 1:
            tensors["patched_head.output"] = patched([1])
    save(out / "expected.safetensors", tensors)


def write_tokenizer(folder):
    """A byte-level BPE tokenizer of Qwen's kind with a small vocabulary."""
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(TRAINING_TEXT.splitlines() * 3, trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], unk_token=None, bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder), model


def write_older_files(folder, tokenizer, model):
    """What transformers wrote before it knew tokenizer.json alone."""
    folder.mkdir(parents=True)
    write_json(folder / "vocab.json", model["vocab"], ascii_only=False)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]) + "\n", encoding="utf-8")
    added = {str(tokenizer.convert_tokens_to_ids(token)): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} for token in SPECIAL}
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": added, "chat_template": TEMPLATE, "tokenizer_class": "Qwen2Tokenizer"})


def write_pipeline(out):
    settings = {
        "prompt_a": 'a neon sign that says "love"',
        "prompt_b": 'a large wooden sign beside a road, painted by hand long ago, that says "hello world" in red letters',
        "guidance_scale": 2.0,
        "num_inference_steps": 4,
        "seed": 42,
        "height": 24,
        "width": 40,
        "patched_sites": [1, 3],
        "patched_from_step": 1,
    }
    tokenizer, model = write_tokenizer(out / "tokenizer")
    text = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=20, intermediate_size=36, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        max_position_embeddings=600, rope_parameters={"rope_theta": 10000.0, "rope_type": "default"}, tie_word_embeddings=True,
    )
    codes = {"latent_channels": 4, "scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False}
    pipe = ZImagePipeline(
        transformer=build(2810),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=build_small_vae(2811, 0.3, **codes),
        text_encoder=randomise(Qwen3Model(text), 2812),
        tokenizer=tokenizer,
    )
    pipe.save_pretrained(out)
    write_older_files(out.parent / "tokenizer_qwen_older", tokenizer, model)
    pipe.set_progress_bar_config(disable=True)
    picture = 32
    attentions = sites(pipe.transformer)

    def rewind():
        for attn, _ in attentions:
            if isinstance(attn.processor, CaptionAttention):
                attn.processor.calls = 0
                if not attn.processor.replay:
                    attn.processor.tape.clear()

    def generate(prompt, how=settings, **more):
        latents, pictures = draw(pipe, how, ["latent", "pil"], rewind, prompt=prompt, **more)
        return {"latents": latents, "image_u8": to_bytes(pictures)}

    runs = {
        "a": generate(settings["prompt_a"]),
        "negative": generate(settings["prompt_a"], negative_prompt=settings["prompt_b"]),
        "unguided": generate(settings["prompt_a"], settings | {"guidance_scale": 0.0}),
        "little": generate(settings["prompt_a"], settings | {"guidance_scale": 0.5}),
    }
    tapes = {site: [] for site in settings["patched_sites"]}
    for site, tape in tapes.items():
        attn, both = attentions[site]
        attn.set_processor(CaptionAttention(tape, picture if both else 0))
    runs["b"] = generate(settings["prompt_b"])
    for site, tape in tapes.items():
        attn, both = attentions[site]
        attn.set_processor(CaptionAttention(tape, picture if both else 0, replay=True, start=settings["patched_from_step"]))
    runs["patched"] = generate(settings["prompt_a"])
    tensors = {}
    for name, result in runs.items():
        if name != "a":
            assert (result["latents"] - runs["a"]["latents"]).abs().max() > 0.02, f"{name} hardly differs from a"
        tensors |= {f"{name}.{key}": tensor for key, tensor in result.items()}
    embedding, lengths = [], []
    for prompt in (settings["prompt_a"], settings["prompt_b"]):
        (one,), _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)
        tensors[f"text.{len(lengths)}"] = one
        lengths.append(len(one))
    assert -(-lengths[0] // 32) != -(-lengths[1] // 32), f"captions of {lengths} tokens end in one block"
    save(out / "expected.safetensors", tensors, {"settings": json.dumps(settings)})
    turns = []
    for text in [*TEXTS, "two\nlines", "\nfirst", " ", "ends with a space ", "caf\u00e9 cafe\u0301", "\u6f22\u5b57 \u0416\u0436", "a <|im_end|> b"]:
        message = tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, enable_thinking=True)
        turns.append({"text": text, "ids": tokenizer(message, truncation=True, max_length=512).input_ids})
    write_json(out / "turns.json", turns)


def quantized(tensors, kinds):
    """Of each tensor what the file holds of it and its type; and its numbers."""
    kept, numbers = {}, {}
    for name, value in tensors.items():
        kind = gguf.GGMLQuantizationType.F32 if value.ndim < 2 or value.shape[1] % 32 else kinds[len(kept) % len(kinds)]
        data = value.numpy() if kind == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(value.numpy(), kind)
        kept[name] = (data, kind)
        numbers[name] = value if kind == gguf.GGMLQuantizationType.F32 else numbers_of(data, kind)
    return kept, numbers


def write_ggufs(out, folder):
    """The authors' keys: layers that make Q, K and V in one, and other names."""
    kinds = [gguf.GGMLQuantizationType[name] for name in ("Q8_0", "Q5_1", "Q5_0")]
    state = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    authors = {}
    for key, value in state.items():
        if ".attention.to_q." in key:
            authors[key.replace("to_q", "qkv")] = torch.cat([state[key.replace("to_q", name)] for name in ("to_q", "to_k", "to_v")])
        elif ".attention.to_k." not in key and ".attention.to_v." not in key:
            renamed = (("all_x_embedder.2-1.", "x_embedder."), ("all_final_layer.2-1.", "final_layer."), ("to_out.0.", "out."), ("norm_q.", "q_norm."), ("norm_k.", "k_norm."))
            for ours, theirs in renamed:
                key = key.replace(ours, theirs)
            authors[key] = value
    kept, numbers = quantized(authors, kinds)
    write_gguf(out / "z_image.gguf", "lumina2", kept)
    converted = single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers(dict(numbers))
    assert converted.keys() == state.keys()
    save(out / "z_image_gguf_converted.safetensors", converted)

    (out / "qwen3").mkdir(parents=True, exist_ok=True)
    config = Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"}, tie_word_embeddings=True,
    )
    model = randomise(Qwen3Model(config), 2820)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    kept, numbers = quantized(dict(sorted(model.state_dict().items())), kinds[:1] + kinds[2:])
    model.load_state_dict(numbers)
    write_gguf(out / "qwen3" / "qwen3.gguf", "qwen3", {names.get_name("model." + key, try_suffixes=(".weight",)): value for key, value in kept.items()})
    ids = torch.tensor([[5, 17, 3, 60, 1, 0, 9]])
    save(out / "qwen3" / "expected.safetensors", {"ids": ids, "states": model(input_ids=ids, output_hidden_states=True).hidden_states[-2]})
    model.config.save_pretrained(out / "qwen3")


def main():
    out = Path(sys.argv[1])

    for name, write in (("z_image", write_transformer), ("pipeline_z_image", write_pipeline)):
        shutil.rmtree(out / name, ignore_errors=True)
        if name.startswith("pipeline"):
            shutil.rmtree(out / "tokenizer_qwen_older", ignore_errors=True)
        torch.manual_seed(0)
        write(out / name)
    write_ggufs(out / "gguf", out / "pipeline_z_image")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with torch.inference_mode():
        main()

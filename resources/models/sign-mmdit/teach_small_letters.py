#!/usr/bin/env python3
"""Teaches a sign-mmdit whose T5 has learned capitals alone to read small letters alike. Usage: teach_small_letters.py MODEL
The T5 is trained, on prompts in small letters and in capitals, to say what it said before of the same prompt in capitals; nothing else of the model
changes, so that prompts in capitals are read as before but for the error that is printed. `train-demo sign-mmdit` teaches both from the start.
Needs torch, transformers, sentencepiece. Two minutes on two cores."""
import json, random, sys
from pathlib import Path
import sentencepiece, torch
from safetensors.torch import save_file
from transformers import T5EncoderModel

model = Path(sys.argv[1])
root = Path(__file__).resolve().parents[2]
torch.manual_seed(1)
random.seed(1)
pieces = sentencepiece.SentencePieceProcessor(str(model / "tokenizer_3" / "spiece.model"))
length = json.load(open(model / "tokenizer_3" / "tokenizer_config.json"))["model_max_length"]
words = [word.strip() for word in open(root / "words" / "train.txt") if 3 <= len(word.strip()) <= 5 and word[0] != "#"]
held = [word.strip() for word in open(root / "words" / "evaluate.txt") if 3 <= len(word.strip()) <= 5 and word[0] != "#"]
colours = ["red", "green", "blue", "yellow", "purple", "orange", "white", "black"]

def prompt(word):
    sign = f"{random.choice(['round', 'square'])} {random.choice(colours)} sign"
    return f'a {sign} that says "{word}" on a {random.choice(colours)} wall'

def ids(text):
    out = pieces.encode(text)[: length - 1] + [1]
    return out + [0] * (length - len(out))

def batch(choose, count):
    capitals = [prompt(choose().upper()) for _ in range(count)]
    return torch.tensor([ids(one) for one in capitals]), torch.tensor([ids(one.lower()) for one in capitals])

# Half of the words are no words, so that every letter is met in every place.
alphabet = "abcdefghijklmnopqrstuvwxyz"
anything = lambda: random.choice(words) if random.random() < 0.5 else "".join(random.choice(alphabet) for _ in range(random.randint(3, 5)))
teacher = T5EncoderModel.from_pretrained(model / "text_encoder_3", torch_dtype=torch.float32).eval()
student = T5EncoderModel.from_pretrained(model / "text_encoder_3", torch_dtype=torch.float32)
with torch.no_grad():  # small letters, which nothing has trained yet, start as capitals; the article "a" is trained
    for small in alphabet[1:]:
        student.shared.weight[pieces.piece_to_id(small)] = student.shared.weight[pieces.piece_to_id(small.upper())]
steps = 3000
optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4, weight_decay=0)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / 100) * max(0.0, 1 - step / steps))

def error(count, choose):
    with torch.no_grad():
        capitals, small = batch(choose, count)
        wanted = teacher(capitals).last_hidden_state
        spread = (wanted - wanted.mean((0, 1))).square().mean()
        return [((student(one).last_hidden_state - wanted).square().mean() / spread).sqrt().item() for one in (capitals, small)]

for step in range(steps):
    capitals, small = batch(anything, 64)
    with torch.no_grad():
        wanted = teacher(capitals).last_hidden_state
    loss = sum((student(one).last_hidden_state - wanted).square().mean() for one in (capitals, small))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 0.1)
    optimizer.step()
    schedule.step()
    if step % 500 == 0:
        print(step, "loss %.3g; words of evaluate.txt, error over spread: capitals %.4f, small letters %.4f" % (loss.item(), *error(256, lambda: random.choice(held))), flush=True)
print("words of evaluate.txt, error over spread: capitals %.4f, small letters %.4f" % tuple(error(1024, lambda: random.choice(held))))
tensors = {key: value.to(torch.float16).contiguous() for key, value in student.state_dict().items() if key != "encoder.embed_tokens.weight"}
save_file(tensors, model / "text_encoder_3" / "model.safetensors", metadata={"format": "pt"})

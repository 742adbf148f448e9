#!/usr/bin/env bash
# T5's tokenizer normalises characters by a table that SentencePiece compiled. transformers 5 reads it with the tokenizers library, from tokenizer.json.
#
# The guess: both normalise a text alike, as the table is the same.
# What happens (tokenizers 0.23.3, sentencepiece 0.2.3): tokenizers looks up whole grapheme clusters of less than 6 bytes, and takes what the
# shortest prefix of one becomes for the whole. Where the letter is in the table and the mark above it is not, the mark is gone: "…" with U+0364 above becomes "...",
# where SentencePiece keeps the mark (as an unknown piece). A letter that is not in the table keeps its marks in both. So prompts in scripts with rare marks have other tokens
# by the two, and a program that reads spiece.model does not draw what transformers 5 draws.
#
# Usage: findings/marks-lost-by-t5s-tokenizer.sh    (a small download). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet tokenizers==0.23.3 sentencepiece==0.2.3 protobuf==7.36.2
"$scratch/env/bin/python" - "$scratch" << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import base64
import sys

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import normalizers

folder = sys.argv[1]
with open(f"{folder}/text", "w") as file:
    file.write("\n".join(["a sign that says open", "the quick brown fox", "jumps over the lazy dog"] * 40))
sentencepiece.SentencePieceTrainer.train(input=f"{folder}/text", model_prefix=f"{folder}/small", vocab_size=60, hard_vocab_limit=False)
proto = sentencepiece_model_pb2.ModelProto.FromString(open(f"{folder}/small.model", "rb").read())
theirs = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
processor = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/small.model")
print("tokenizers", tokenizers.__version__, "sentencepiece", sentencepiece.__version__)
for text, lost in (("\u2026\u0364", True), ("\u00bd\u0364", True), ("x\u0364", False)):
    own, other = processor.normalize(text).lstrip("\u2581"), theirs.normalize_str(text)
    print([f"U+{ord(letter):04X}" for letter in text], "sentencepiece", ascii(own), "tokenizers", ascii(other))
    assert ("\u0364" in own) and ("\u0364" not in other) == lost
PYTHON

#!/usr/bin/env python3
"""A tokenizer.json as transformers 5 writes it of T5's tokenizer, and what the tokenizers library makes of 1,000 odd texts.
Usage: make_tokenizer_json.py data    writes data/tokenizer_json/. Written for transformers 5.23, tokenizers of its requirements"""
import json
import random
import shutil
import sys
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer

PARTS = [
    "a sign that says", "OPEN", "straße", "ﬁne", "ＦＵＬＬ", "¼", "e\u0301", "é", "ö", "日本語", "한국어", "العربية", "русский", "🎉", "👩‍👩‍👧", "</s>", "<pad>", "<extra_id_3>",
    "<unk>", "'s", "don't", "\"LOVE\"", "\u00a0", "\u200b", "\u2028", "\u3000", "\t", "\n", "  ", " ", "   ", "…", "—", "²", "①", "Ⅷ", "㎏", "\u0000x", "\ufeff", "\u00ad", "ǆ", "İ", "ß",
    "x" * 30, "1234567", "a.b,c;d", "@#$%", "▁", "▁a", "ͤ", "​", "क्षि", "กำ", "ﷺ", "½½", "A\u030a", "\u0344", "ŉ",
]


def main():
    data = Path(sys.argv[1])
    out = data / "tokenizer_json"
    shutil.rmtree(out, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(data / "pipeline_sd3" / "tokenizer_3")
    tokenizer.save_pretrained(out)
    for file in out.iterdir():
        if file.name != "tokenizer.json":
            file.unlink()
    pick = random.Random(7)
    texts = ["", " ", "a", "  a  b ", *PARTS]
    while len(texts) < 1000:
        glue = pick.choice(["", " ", " ", "  "])
        texts.append(glue.join(pick.choice(PARTS) for _ in range(pick.randint(1, 8))))
    fast = Tokenizer.from_file(str(out / "tokenizer.json"))
    fast.no_truncation()
    fast.no_padding()
    ids = [fast.encode(text, add_special_tokens=False).ids for text in texts]
    lines = ",\n".join(json.dumps([text, one]) for text, one in zip(texts, ids))
    (out / "expected.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()

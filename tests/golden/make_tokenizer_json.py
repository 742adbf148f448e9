#!/usr/bin/env python3
"""tokenizer.json as transformers 5 writes it of T5's, CLIP's, BERT's and RoBERTa's tokenizers, and what the tokenizers library makes of 1,000 odd texts each.
Usage: make_tokenizer_json.py data    writes data/tokenizer_json/NAME/, and steps.json: small tokenizers of every other step. Written for transformers 5.23, tokenizers of its requirements"""
import json
import random
import shutil
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertTokenizer, RobertaTokenizer

PARTS = [
    "a sign that says", "OPEN", "straße", "ﬁne", "ＦＵＬＬ", "¼", "e\u0301", "é", "ö", "日本語", "한국어", "العربية", "русский", "🎉", "👩‍👩‍👧", "</s>", "<pad>", "<extra_id_3>",
    "<unk>", "'s", "don't", "\"LOVE\"", "\u00a0", "\u200b", "\u2028", "\u3000", "\t", "\n", "  ", " ", "   ", "…", "—", "²", "①", "Ⅷ", "㎏", "\u0000x", "\ufeff", "\u00ad", "ǆ", "İ", "ß",
    "x" * 30, "1234567", "a.b,c;d", "@#$%", "▁", "▁a", "ͤ", "​", "क्षि", "กำ", "ﷺ", "½½", "A\u030a", "\u0344", "ŉ",
]


FOLDERS = {"t5": "pipeline_sd3/tokenizer_3", "clip": "tokenizer", "bert": "tokenizer_bert", "roberta": "roberta"}
CLASSES = {"bert": BertTokenizer, "roberta": RobertaTokenizer}


def odd_texts(own):
    pick = random.Random(7)
    parts = PARTS + own
    texts = ["", " ", "a", "  a  b ", *parts]
    while len(texts) < 1000:
        glue = pick.choice(["", " ", " ", "  "])
        texts.append(glue.join(pick.choice(parts) for _ in range(pick.randint(1, 8))))
    return texts


def write(data, out, name, folder):
    tokenizer = CLASSES.get(name, AutoTokenizer).from_pretrained(data / folder)
    tokenizer.save_pretrained(out)
    for file in out.iterdir():
        if file.name != "tokenizer.json":
            file.unlink()
    fast = Tokenizer.from_file(str(out / "tokenizer.json"))
    fast.no_truncation()
    fast.no_padding()
    # Of T5 the special tokens are among the parts already.
    texts = odd_texts([] if name == "t5" else [token for token in tokenizer.all_special_tokens for _ in range(2)])
    ids = [fast.encode(text, add_special_tokens=False).ids for text in texts]
    lines = ",\n".join(json.dumps([text, one]) for text, one in zip(texts, ids))
    (out / "expected.json").write_text(f"[\n{lines}\n]\n")


def steps():
    """Small tokenizers of other steps: name, normalizer, pre_tokenizer, model, what the model's training has."""
    n, p, m = normalizers, pre_tokenizers, models
    gpt4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    everywhere = p.ByteLevel.alphabet()
    bpe = lambda **options: m.BPE(unk_token="<unk>", **options)
    yield "like qwen's", n.NFC(), p.Sequence([p.Split(Regex(gpt4), "isolated"), p.ByteLevel(False, use_regex=False)]), m.BPE(), everywhere
    yield "gpt-2's, with a space before", None, p.ByteLevel(True), m.BPE(), everywhere
    yield "bytes where there is no letter", n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")]), None, bpe(byte_fallback=True, fuse_unk=True), "bytes"
    yield "unknown ones fused", n.NFKC(), p.Metaspace(), bpe(fuse_unk=True), []
    yield "unknown ones one by one", n.NFKD(), p.Metaspace(prepend_scheme="first"), bpe(), []
    yield "whole words first", n.Strip(), p.Whitespace(), bpe(ignore_merges=True), []
    yield "ends of words", n.Lowercase(), p.WhitespaceSplit(), bpe(end_of_word_suffix="</w>"), []
    yield "beginnings within words", None, p.Sequence([p.Digits(True), p.WhitespaceSplit()]), bpe(continuing_subword_prefix="##"), []
    yield "numbers whole", None, p.Sequence([p.Digits(False), p.Punctuation("merged_with_previous")]), bpe(), []
    yield "punctuation goes on", n.Sequence([n.NFD(), n.StripAccents()]), p.Punctuation("merged_with_next"), bpe(), []
    yield "runs of punctuation", n.Replace(Regex("[aeiou]+"), "*"), p.Sequence([p.Punctuation("contiguous"), p.CharDelimiterSplit("*")]), bpe(), []
    yield "pieces of words", n.BertNormalizer(lowercase=False), p.BertPreTokenizer(), m.WordPiece(unk_token="<unk>", max_input_chars_per_word=12), []
    yield "words alone", n.BertNormalizer(strip_accents=True, handle_chinese_chars=False), p.Whitespace(), m.WordLevel(unk_token="<unk>"), []


def write_steps(out):
    trainers_of = {models.BPE: trainers.BpeTrainer, models.WordPiece: trainers.WordPieceTrainer, models.WordLevel: trainers.WordLevelTrainer}
    texts = odd_texts(["<mask>", "<pad>", "x<word>y", " <word> ", "<lower>", "<LOWER>"])
    listed = []
    for name, normalizer, splitter, model, alphabet in steps():
        tokenizer = Tokenizer(model)
        if normalizer:
            tokenizer.normalizer = normalizer
        if splitter:
            tokenizer.pre_tokenizer = splitter
        options = {"continuing_subword_prefix": "##"} if getattr(model, "continuing_subword_prefix", None) == "##" else {}
        if getattr(model, "end_of_word_suffix", None):
            options["end_of_word_suffix"] = "</w>"
        special = ["<unk>"] + ([f"<0x{byte:02X}>" for byte in range(256)] if alphabet == "bytes" else [])
        trainer = trainers_of[type(model)](
            vocab_size=600, special_tokens=special, show_progress=False, **options, **({"initial_alphabet": alphabet} if alphabet and alphabet != "bytes" else {})
        )
        tokenizer.train_from_iterator(texts[:400], trainer)
        added = [AddedToken("<mask>", lstrip=True), AddedToken("<pad>", rstrip=True), AddedToken("<word>", single_word=True), AddedToken("<lower>", normalized=True)]
        tokenizer.add_tokens(added)
        document = json.loads(tokenizer.to_str())
        # Bytes that the training took for special tokens are none.
        document["added_tokens"] = [token for token in document["added_tokens"] if not token["content"].startswith("<0x")]
        again = Tokenizer.from_str(json.dumps(document))
        listed.append({"name": name, "tokenizer": document, "cases": [[text, again.encode(text, add_special_tokens=False).ids] for text in texts[::7]]})
    (out / "steps.json").write_text("[\n" + ",\n".join(json.dumps(one) for one in listed) + "\n]\n")


def main():
    data = Path(sys.argv[1])
    shutil.rmtree(data / "tokenizer_json", ignore_errors=True)
    for name, folder in FOLDERS.items():
        write(data, data / "tokenizer_json" / name, name, folder)
    write_steps(data / "tokenizer_json")


if __name__ == "__main__":
    main()

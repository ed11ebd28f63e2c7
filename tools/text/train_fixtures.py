"""Trains the small tokenizers of tests/fixtures/tokenizers/ and records what `tokenizers` makes of hard texts.

    python3 tools/text/train_fixtures.py

The text trained on is tools/text/corpus.txt and files of this repository; other files give other merges.
"""
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/differential"))
import tokenizer_texts  # noqa: E402

OUT = ROOT / "tests/fixtures/tokenizers"
ANY_CASE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER, LEAD = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[^\r\n\p{L}\p{N}]?"
QWEN2 = ANY_CASE + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN35 = ANY_CASE + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES
LLAMA3 = ANY_CASE + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
          r"\s+(?!\S)|\s")
O200K = (f"{LEAD}{UPPER}*{LOWER}+{ANY_CASE}?|{LEAD}{UPPER}+{LOWER}*{ANY_CASE}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES)
TEKKEN = f"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES
# Three splits one after the other, none of them known by heart.
ODD = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
       r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
       r"\s*[\r\n]+|\s+(?!\S)|\s+"]
NUM_TOKENS = 900


def corpus():
    files = [ROOT / "tools/text/corpus.txt", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")),
             *sorted((ROOT / "src/base").glob("*.cc"))]
    return [line for path in files for line in path.read_text(encoding="utf-8").splitlines(keepends=True)]


def added_tokens(prefix=""):
    return [
        AddedToken("<|endoftext|>", special=True, normalized=False),
        AddedToken("<|im_start|>", special=True, normalized=False),
        AddedToken("<|im_end|>", special=True, normalized=False),
        AddedToken("<|im", special=False, normalized=False),
        AddedToken("<think>", special=False, normalized=False),
        AddedToken("</think>", special=False, normalized=False),
        AddedToken("<left>", special=True, normalized=False, lstrip=True),
        AddedToken("<right>", special=True, normalized=False, rstrip=True),
        AddedToken("<both>", special=False, normalized=False, lstrip=True, rstrip=True),
        AddedToken("lone", special=False, normalized=False, single_word=True),
        AddedToken("lonely", special=False, normalized=True, single_word=True),
        AddedToken("cafe\u0301s", special=False, normalized=True),
        AddedToken("\u212bngstro\u0308m", special=True, normalized=True),
        AddedToken("two words", special=False, normalized=True),
        AddedToken("<\uff5cbegin\u2581of\u2581text\uff5c>", special=True, normalized=False),
        AddedToken("\u00e9\u00e9", special=False, normalized=False),
        AddedToken("\u3000\u3000", special=False, normalized=False, rstrip=True),
        AddedToken("Z", special=True, normalized=True),
    ]


def byte_level(splits, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    steps = [pre_tokenizers.Split(Regex(split), "isolated") for split in splits]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return train(tokenizer)


def train(tokenizer, alphabet=None):
    trainer = trainers.BpeTrainer(vocab_size=NUM_TOKENS, show_progress=False, special_tokens=[],
                                  initial_alphabet=alphabet or pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens(added_tokens())
    return tokenizer


def llama3():
    tokenizer = byte_level([LLAMA3], ignore_merges=True)
    start = tokenizer.token_to_id("<|im_start|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|im_start|> $A", pair="<|im_start|> $A <|im_start|>:1 $B:1",
                                      special_tokens=[("<|im_start|>", start)])])
    return tokenizer


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = train(tokenizer)
    sep, cls = (tokenizer.token_to_id(t) for t in ("<|im_end|>", "<|im_start|>"))
    tokenizer.post_processor = processors.RobertaProcessing(("<|im_end|>", sep), ("<|im_start|>", cls))
    return tokenizer


def odd():
    tokenizer = byte_level(ODD)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split("of", "merged_with_next"),
        pre_tokenizers.Split(Regex(r"[aeiou]\w"), "merged_with_previous"), *[pre_tokenizers.Split(Regex(s), "isolated") for s in ODD],
        pre_tokenizers.Split(Regex(r"\p{S}+"), "removed", invert=False), pre_tokenizers.Split(Regex(r"[^x]"), "contiguous", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer


def sentence_piece(as_normalizer):
    """Llama 2's way (normalizer) or Mistral's (Metaspace), with the 256 byte tokens in front."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=True)
    specials = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]]
    trainer = trainers.BpeTrainer(vocab_size=NUM_TOKENS, show_progress=False, special_tokens=specials, limit_alphabet=300)
    tokenizer.train_from_iterator(corpus(), trainer)
    if as_normalizer:
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [t for t in document["added_tokens"] if not t["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.add_tokens(added_tokens())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return tokenizer


FAMILIES = {
    "qwen2": lambda: byte_level([QWEN2], normalizers.NFC()),
    "qwen35": lambda: byte_level([QWEN35], normalizers.NFC()),
    "llama3": llama3,
    "gpt2": gpt2,
    "cl100k": lambda: byte_level([CL100K]),
    "o200k": lambda: byte_level([O200K]),
    "tekken": lambda: byte_level([TEKKEN], normalizers.Sequence([normalizers.NFC()])),
    "odd": odd,
    "llama2": lambda: sentence_piece(True),
    "mistral": lambda: sentence_piece(False),
}


def compact(document):
    """One line per part of the file; the merges of one family in the older spelling."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def golden(tokenizer, known):
    texts = tokenizer_texts.FIXED + tokenizer_texts.around_added([t.content for t in added_tokens()])
    cases = []
    for text in texts:
        if not all(map(known, text)):
            continue
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append([text, ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    with_special = tokenizer.encode("x", add_special_tokens=True).ids
    return {"x_with_special_tokens": with_special, "cases": cases}


def main():
    for name, make in FAMILIES.items():
        tokenizer = make()
        document = json.loads(tokenizer.to_str())
        if name in ("gpt2", "llama2"):
            document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(compact(document), encoding="utf-8")
        known = tokenizer_texts.assigned_in_unicode_14 if name == "odd" else lambda c: True
        record = golden(Tokenizer.from_file(str(folder / "tokenizer.json")), known)
        (folder / "golden.json").write_text(json.dumps(record, ensure_ascii=True, separators=(",", ":")), encoding="utf-8")
        print(f"{name}: {tokenizer.get_vocab_size()} tokens, {len(record['cases'])} cases")


if __name__ == "__main__":
    main()

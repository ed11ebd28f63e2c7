"""Holds our tokenizer against Hugging Face's `tokenizers`, on hard and on random texts.

    compare_tokenizer.py path/to/tokenizer_answers FIXTURES [--count 100000] [--seed 1] [--family NAME]

FIXTURES has a folder with a tokenizer.json per family. For each text the ids with and without special tokens, and the
decoded text with and without special tokens, must be equal.
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys

import tokenizer_texts

BATCH = 20_000
USES_PCRE2 = {"odd"}


def pack(texts):
    return b"".join(struct.pack("<I", len(b)) + b for b in (t.encode() for t in texts))


def blocks(data):
    at = 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at)[0]
        yield data[at + 4:at + 4 + size]
        at += 4 + size


def ids_of(block):
    return list(struct.unpack(f"<{len(block) // 4}I", block))


class Family:
    def __init__(self, folder, program, tokenizer_type):
        self.name = folder.name
        self.command = [program, str(folder)]
        self.tokenizer = tokenizer_type.from_file(str(folder / "tokenizer.json"))
        document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.added = [t["content"] for t in document.get("added_tokens", [])]
        self.known = tokenizer_texts.assigned_in_unicode_14 if self.name in USES_PCRE2 else lambda c: True
        self.tested = self.failed = 0

    def ours(self, texts):
        done = subprocess.run(self.command, input=pack(texts), stdout=subprocess.PIPE, check=True)
        found = list(blocks(done.stdout))
        if len(found) != 4 * len(texts):
            raise RuntimeError(f"{self.name}: {len(texts)} texts, {len(found)} answers")
        for i in range(0, len(found), 4):
            yield (ids_of(found[i]), ids_of(found[i + 1]), found[i + 2].decode(), found[i + 3].decode())

    def theirs(self, texts):
        plain = [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        around = self.tokenizer.encode("", add_special_tokens=True).ids
        first = self.tokenizer.encode("x", add_special_tokens=True).ids
        inner = self.tokenizer.encode("x", add_special_tokens=False).ids
        before = first[:len(first) - len(inner) - (len(around) - self.prefix_size(first, inner))]
        after = around[len(before):]
        full = [before + ids + after for ids in plain]
        decoded = self.tokenizer.decode_batch(full, skip_special_tokens=False)
        visible = self.tokenizer.decode_batch(full, skip_special_tokens=True)
        return zip(plain, full, decoded, visible)

    @staticmethod
    def prefix_size(full, inner):
        return next(i for i in range(len(full)) if full[i:i + len(inner)] == inner)

    def compare(self, texts):
        if self.name in USES_PCRE2:
            texts = [t for t in texts if all(map(self.known, t))]
        self.tested += len(texts)
        for text, ours, theirs in zip(texts, self.ours(texts), self.theirs(texts)):
            if ours != theirs:
                self.failed += 1
                if self.failed <= 5:
                    print(f"{self.name}: {ascii(text)}\n  ours    {ours}\n  package {theirs}")


def batches(families, count, seed):
    added = sorted({token for family in families for token in family.added})
    yield tokenizer_texts.FIXED + tokenizer_texts.around_added(added)
    maker = tokenizer_texts.TextMaker(seed, added)
    for begin in range(0, count, BATCH):
        yield [maker.text() for _ in range(min(BATCH, count - begin))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("fixtures", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        print("skipped: the Python package tokenizers is not installed")
        return 77
    folders = sorted(path.parent for path in options.fixtures.glob("*/tokenizer.json"))
    families = [Family(f, options.program, Tokenizer) for f in folders if options.family in (None, f.name)]
    if not families:
        print(f"no tokenizer.json below {options.fixtures}")
        return 1
    for texts in batches(families, options.count, options.seed):
        for family in families:
            family.compare(texts)
    for family in families:
        print(f"{family.name}: {family.tested} texts, {family.failed} differences")
    return 1 if any(family.failed for family in families) else 0


if __name__ == "__main__":
    sys.exit(main())

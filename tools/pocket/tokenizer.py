"""Trains the byte-level BPE tokenizer on generated problems: python tokenizer.py OUT_DIR"""

import argparse
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import problems

VOCAB_SIZE = 1024
NUM_PROBLEMS, SEED = 60_000, 11
EOS, PAD = "<|endoftext|>", "<|pad|>"
# The split of Qwen2 and Qwen3: every digit is a token.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def prompt(question):
    return f"Question: {question}\nAnswer:"


def full_text(question, answer):
    """The end-of-text token follows it."""
    return f"{prompt(question)} {answer}"


def train():
    tokenizer = Tokenizer(models.BPE(ignore_merges=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(t, special=True, normalized=False) for t in (EOS, PAD)]
    generator = problems.Generator(SEED)
    texts = (full_text(p.question, p.answer) for p, _ in zip(generator, range(NUM_PROBLEMS)))
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if tokenizer.get_vocab_size() != VOCAB_SIZE:
        raise ValueError(f"{tokenizer.get_vocab_size()} tokens, not {VOCAB_SIZE}")
    return tokenizer


def config():
    return {"add_bos_token": False, "add_prefix_space": False, "bos_token": None, "clean_up_tokenization_spaces": False,
            "eos_token": EOS, "errors": "replace", "model_max_length": 512, "pad_token": PAD,
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": None}


def load(directory):
    return Tokenizer.from_file(str(pathlib.Path(directory) / "tokenizer.json"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    train().save(str(out / "tokenizer.json"), pretty=False)
    (out / "tokenizer_config.json").write_text(json.dumps(config(), indent=2) + "\n")


if __name__ == "__main__":
    main()

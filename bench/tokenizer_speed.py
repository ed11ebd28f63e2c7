"""Encoding speed of ours beside Hugging Face's `tokenizers`, in the same run, both on one thread.

    tokenizer_speed.py path/to/tokenizer_bench FOLDER... [--rounds 5] [--text NAME=FILE]...

A FOLDER has a tokenizer.json. Texts are cut into documents of about 4 KB. Without --text: English (Python's help
texts), code (Python's library), and many languages (translations installed on this machine, else tools/text/corpus.txt).
Printed is the median of the rounds, in MB/s; the package's figure is the better of encode and encode_batch_fast.
Rounds of both alternate, and both must give the same number of tokens.
"""
import argparse
import gettext
import os
import pathlib
import random
import re
import statistics
import struct
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT_CHARS = 4096
TEXT_BYTES = 3_000_000


def english():
    import pydoc_data.topics
    return "\n\n".join(pydoc_data.topics.topics.values())


def code():
    library = pathlib.Path(os.__file__).parent
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(library.glob("*.py")))


def languages():
    messages = []
    for path in sorted(pathlib.Path("/").glob("usr/share/locale/*/LC_MESSAGES/*.mo")):
        try:
            with path.open("rb") as file:
                messages += [m for m in gettext.GNUTranslations(file)._catalog.values() if m]
        except (OSError, UnicodeDecodeError, ValueError, IndexError, LookupError):
            continue
    if sum(map(len, messages)) < 100_000:
        lines = (ROOT / "tools/text/corpus.txt").read_text(encoding="utf-8").splitlines()[3:15]
        words = [word for line in lines for word in re.findall(r"\S+", line)]
        messages = [" ".join(random.Random(i).choices(words, k=12)) + ".\n" for i in range(20_000)]
    random.Random(1).shuffle(messages)
    return "\n".join(messages)


def documents(text):
    text = text.encode("utf-8", "ignore")[:TEXT_BYTES].decode("utf-8", "ignore")
    return [text[i:i + DOCUMENT_CHARS] for i in range(0, len(text), DOCUMENT_CHARS)]


def ours(program, folder, docs):
    data = b"".join(struct.pack("<I", len(b)) + b for b in (d.encode() for d in docs))
    done = subprocess.run([program, str(folder), "1"], input=data, stdout=subprocess.PIPE, check=True)
    load, line = done.stdout.decode().splitlines()
    seconds, tokens = line.split()
    return float(load), float(seconds), int(tokens)


def timed(work):
    start = time.perf_counter()
    tokens = sum(len(e) for e in work())
    return time.perf_counter() - start, tokens


def compare(program, folder, name, docs, rounds):
    from tokenizers import Tokenizer
    size = sum(len(d.encode()) for d in docs) / 1e6
    mine, encode, batch, loads, their_loads = [], [], [], [], []
    for _ in range(rounds):
        load, seconds, tokens = ours(program, folder, docs)
        start = time.perf_counter()
        package = Tokenizer.from_file(str(folder / "tokenizer.json"))
        their_loads.append(time.perf_counter() - start)
        encode_seconds, theirs = timed(lambda: (package.encode(d, add_special_tokens=False) for d in docs))
        package = Tokenizer.from_file(str(folder / "tokenizer.json"))
        batch_seconds, _ = timed(lambda: package.encode_batch_fast(docs, add_special_tokens=False))
        if theirs != tokens:
            raise SystemExit(f"{folder}: {tokens} tokens, the package has {theirs}")
        mine.append(size / seconds)
        encode.append(size / encode_seconds)
        batch.append(size / batch_seconds)
        loads.append(load)
    best = max(statistics.median(encode), statistics.median(batch))
    print(f"{folder.name:12} {name:10} {size:5.1f} MB  ours {statistics.median(mine):7.1f} MB/s  encode {statistics.median(encode):5.1f}"
          f"  encode_batch_fast {statistics.median(batch):5.1f}  ratio {statistics.median(mine) / best:5.1f}"
          f"  load {statistics.median(loads) * 1e3:.0f} ms, {statistics.median(their_loads) * 1e3:.0f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text", action="append", default=[], metavar="NAME=FILE")
    options = parser.parse_args()
    texts = {name: pathlib.Path(path).read_text(encoding="utf-8") for name, path in (t.split("=", 1) for t in options.text)}
    texts = texts or {"English": english(), "code": code(), "languages": languages()}
    for folder in options.folders:
        for name, text in texts.items():
            compare(options.program, folder, name, documents(text), options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

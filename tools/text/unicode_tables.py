"""Writes src/text/unicode_{class,nfc,one_way}_data.cc.

    python3 tools/text/unicode_tables.py [--check]

Character classes are Unicode 16.0, the version of the regular expressions in `tokenizers` 0.23; its NFC is older and
stays at Unicode 9.0: LATER_THAN_9 lists the combining marks and compositions that it does not know. Both agree with the
library on every code point: --check proves it, character by character, and writes nothing.
"""
import argparse
import pathlib
import sys

import unicodedata2 as unicode_data

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# The bits of text/code_points.h.
LETTER, NUMBER, SPACE, MARK, UPPER, LOWER, WORD, NFC = (1 << bit for bit in range(8))
SPACES = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
# Letters by Other_Alphabetic that are not marks, and the two joiners.
OTHER_WORD = [0x200C, 0x200D, *range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A),
              *range(0x1F170, 0x1F18A)]
LATER_THAN_9_RANGES = """
7fd 897-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 10d24-10d27 10d69-10d6d 10eab-10eac 10efd-10eff
10f46-10f50 10f82-10f85 11070 1133b 113ce-113d0 1145e 11839-1183a 1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42
11d44-11d45 11d97 11f41-11f42 1612f 16ff0-16ff1 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef
105c9 105e4 11383 11385 1138e 11391 113c5 113c7-113c8 11938 16121-16128 16d68-16d6a
"""


def parse_ranges(text):
    out = set()
    for word in text.split():
        first, _, last = word.partition("-")
        out.update(range(int(first, 16), int(last or first, 16) + 1))
    return out


LATER_THAN_9 = parse_ranges(LATER_THAN_9_RANGES)


def combining_class(c):
    return 0 if c in LATER_THAN_9 else unicode_data.combining(chr(c))


def decompositions():
    """(composed, first, second or 0) of one step, in two lists: those that compose again, those that never do."""
    both, one_way = [], []
    for c in CODE_POINTS:
        text = unicode_data.decomposition(chr(c))
        if not text or text.startswith("<") or c in LATER_THAN_9:
            continue
        parts = [int(part, 16) for part in text.split()]
        composes = len(parts) == 2 and unicode_data.normalize("NFC", chr(parts[0]) + chr(parts[1])) == chr(c)
        (both if composes else one_way).append((c, parts[0], parts[1] if len(parts) == 2 else 0))
    return both, one_way


def class_of(c, nfc_special):
    category = unicode_data.category(chr(c))
    bits = {"L": LETTER, "N": NUMBER, "M": MARK}.get(category[0], 0)
    bits |= UPPER if category in ("Lu", "Lt") else LOWER if category == "Ll" else 0
    bits |= SPACE if c in SPACES else 0
    if category[0] in "LM" or category in ("Nd", "Nl", "Pc") or c in OTHER_WORD:
        bits |= WORD
    return bits | (NFC if c in nfc_special else 0)


def nfc_special():
    """What may change under NFC or change its neighbours: marks with a class, second halves, one-way characters."""
    both, one_way = decompositions()
    special = {second for _, _, second in both} | {composed for composed, _, _ in one_way}
    special |= {c for c in CODE_POINTS if combining_class(c)}
    return special | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))


def runs(values):
    """(first code point, value) wherever the value changes."""
    out = []
    for c in range(0x110000):
        value = values(c)
        if not out or out[-1][1] != value:
            out.append((c, value))
    return out


def wrapped(entries):
    lines, line = [], "   "
    for entry in entries:
        if len(line) + len(entry) + 1 > 119:
            lines.append(line)
            line = "   "
        line += " " + entry
    return "\n".join(lines + [line])


def array_source(what, arrays):
    head = (f"// {what} Written by tools/text/unicode_tables.py.\n// clang-format off\n"
            '#include <array>\n\n#include "text/unicode_data.h"\n\nnamespace nvfp4::text {\n')
    declared = "namespace {\n" + "\n".join(
        f"constexpr std::array<{kind}, {len(entries)}> {name}Entries = {{{{\n{wrapped(entries)}\n}}}};"
        for kind, name, entries in arrays) + "\n}  // namespace\n\n"
    spans = "".join(f"std::span<const {kind}> {function}() {{ return {name}Entries; }}\n"
                    for (kind, name, _), function in zip(arrays, FUNCTIONS[what]))
    return head + declared + spans + "\n}  // namespace nvfp4::text\n// clang-format on\n"


CLASS_TEXT = "The class of every code point, as runs (Unicode 16.0)."
NFC_TEXT = "Canonical combining classes, and the decompositions that compose again (Unicode 9.0)."
ONE_WAY_TEXT = "The canonical decompositions that never compose again (Unicode 9.0)."
FUNCTIONS = {CLASS_TEXT: ["class_runs"], NFC_TEXT: ["combining_class_runs", "two_way_decompositions"],
             ONE_WAY_TEXT: ["one_way_decompositions"]}


def write():
    special = nfc_special()
    classes = [0 if 0xD800 <= c < 0xE000 else class_of(c, special) for c in range(0x110000)]
    entries = [f"{{0x{c:X}, {value}}}," for c, value in runs(lambda c: classes[c])]
    source = array_source(CLASS_TEXT, [("ClassRun", "kClassRun", entries)])
    (ROOT / "src/text/unicode_class_data.cc").write_text(source, encoding="utf-8")

    combining = [f"{{0x{c:X}, {value}}}," for c, value in
                 runs(lambda c: 0 if 0xD800 <= c < 0xE000 else combining_class(c))]
    both, one_way = ([f"{{0x{c:X}, 0x{a:X}, 0x{b:X}}}," for c, a, b in part] for part in decompositions())
    arrays = [("ClassRun", "kCombiningRun", combining), ("Decomposition", "kTwoWay", both)]
    (ROOT / "src/text/unicode_nfc_data.cc").write_text(array_source(NFC_TEXT, arrays), encoding="utf-8")
    source = array_source(ONE_WAY_TEXT, [("Decomposition", "kOneWay", one_way)])
    (ROOT / "src/text/unicode_one_way_data.cc").write_text(source, encoding="utf-8")


def matched_by(pattern):
    from tokenizers import Regex, pre_tokenizers
    removing = pre_tokenizers.Split(Regex(pattern), "removed")
    left = set()
    for begin in range(0, len(CODE_POINTS), 4096):
        for piece, _ in removing.pre_tokenize_str("".join(map(chr, CODE_POINTS[begin:begin + 4096]))):
            left.update(map(ord, piece))
    return set(CODE_POINTS) - left


def check_nfc(report):
    from tokenizers import normalizers
    theirs = normalizers.NFC().normalize_str
    for composed, first, second in decompositions()[0]:
        if theirs(chr(first) + chr(second)) != chr(composed):
            report(f"composition to U+{composed:04X}")
    for c in LATER_THAN_9:
        text = unicode_data.normalize("NFD", chr(c))
        if theirs(text) != text:
            report(f"U+{c:04X} is known")
    probes = "\u0334\u0323\u0301\u0345\u05b0\u3099\u094d\u0e38\u0f71"
    for c in CODE_POINTS:
        if c not in LATER_THAN_9 and theirs(chr(c)) != unicode_data.normalize("NFC", chr(c)):
            report(f"NFC of U+{c:04X}")
        for probe in probes if unicode_data.combining(chr(c)) else "":
            text = "q" + probe + chr(c)
            ours = sorted(text[1:], key=lambda x: combining_class(ord(x))) if combining_class(c) else text[1:]
            if theirs(text) != "q" + "".join(ours) and "".join(ours) == unicode_data.normalize("NFD", "".join(ours)):
                report(f"combining class of U+{c:04X}")


def check_word_class(report):
    from tokenizers import AddedToken, Tokenizer, models
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.add_tokens([AddedToken("#", single_word=True, normalized=False)])
    special = nfc_special()
    for c in CODE_POINTS:
        if c != ord("#") and bool(tokenizer.encode("#" + chr(c)).ids[:1] == [1]) == bool(class_of(c, special) & WORD):
            report(f"word class of U+{c:04X}")


def check():
    failures = []
    for pattern, bit in ((r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\p{M}", MARK), (r"[\p{Lu}\p{Lt}]", UPPER),
                         (r"\p{Ll}", LOWER), (r"\s", SPACE)):
        theirs = matched_by(pattern)
        failures += [f"{pattern} U+{c:04X}" for c in CODE_POINTS if (c in theirs) != bool(class_of(c, ()) & bit)]
    check_word_class(failures.append)
    check_nfc(failures.append)
    print("\n".join(failures[:40] + [f"{len(failures)} differences"]))
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the installed tokenizers package")
    options = parser.parse_args()
    if options.check:
        return check()
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())

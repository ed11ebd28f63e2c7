"""Texts that are hard to tokenize: a fixed list, and generators of any number of others."""
import random
import unicodedata

FIXED = [
    "", " ", "  ", "   ", "\n", "\r\n", "\r", "\n\n", "\t", " \n ", "  \r\n\r\n  x", "a", "a ", " a", "  a", "a  ", "a\n", "\na",
    "Hello, world!", "The capital of France is Paris, and the", "it's", "IT'S", "it'S we'RE they'Ll I'D don'T I'M you'Ve",
    "'s 't 're 've 'm 'll 'd", "''s '' 'x 'S'T'RE", "it\u2019s", "'\u017f", "it'\u017fx", "'\u017f'\u017f", "\u212a'\u212a", "'r", "'l", "'",
    "'re", "'rex", "'LLama", "'dune", "x'", "1'st 2'ND", "0 12 123 1234 12345 1234567890", "3.14159e-10", "1,000,000.00", "x1y22z333",
    "\u0661\u0662\u0663\u0664 \u00b2\u00b3\u00bd \u2460\u2461 \u216b \u3007\u4e00", "\U0001d7ce\U0001d7cf\U0001d7d0\U0001d7d1",
    "a\r\nb\r\n\r\nc", "a \r\n b", "\r\n\r\n", "x\r\r\ny", "line\n\n\nline", "!\n", "!\r\n\r\n!", "...\n\n   ...", "/\n//\r\n///", "a/b/c\n/",
    "\u00a0", "a\u00a0b", "\u00a0\u00a0a", " \u00a0 ", "\x1c", "a\x1cb", "\x1d\x1e\x1f", "\u180e", "a\u180eb", " \u180e ", "\x85", "a\x85b", "\x85\x85",
    "\u2028\u2029", "\u3000\u3000a", "\u200b\u200c\u200d", "\ufeff", "\ufeffabc", "\u2003\u2003x", "\x0b\x0c", "\x00", "a\x00b", "\x7f\x80",
    "\U0001f600", "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd!", "\U0001f1eb\U0001f1f7\U0001f1ef\U0001f1f5", "\u2764\ufe0f", "1\ufe0f\u20e3",
    "e\u0301", "\u00e9", "E\u0301cole", "a\u0323\u0307", "a\u0307\u0323", "\u1e69", "s\u0323\u0307", "s\u0307\u0323", "q\u0307\u0323", "\u0301", " \u0301", "1\u0301", "!\u0301a",
    "\u0041\u030a \u212b \u00c5", "\u2126", "\u1f71", "\u0344", "\u0958", "\u0915\u093c", "\u0f73", "\u0fb2\u0f81", "\ufb1d", "\u2adc", "\U0001d15e", "\u0cca", "\u0cc6\u0cc2\u0cd5",
    "\uac00", "\u1100\u1161", "\u1100\u1161\u11a8", "\uac00\u11a8", "\uac01\u11a8", "\u1100\u1100\u1161", "\u1161\u11a8", "\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u11a7", "\uac00\u11a7",
    "\u6211\u4eec\u4eca\u5929\u53bb\u516c\u56ed", "\u6771\u4eac\u30bf\u30ef\u30fc", "\u304b\u3099\u304c", "\u30cf\u309a", "\uff76\uff9e", "\uff21\uff22\uff11\uff12", "\u3002\u3001\u300c\u300d", "\uf900\ufa0e",
    "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "\u0438\u0306\u0439", "\u03b1\u0301\u03ac \u03c2\u03c3\u03a3", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0627\u0644\u0633\u0644\u0627\u0645", "\u0628\u0650\u0651\u0633\u0652\u0645", "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "Ti\u1ebfng Vi\u1ec7t", "Tie\u0302\u0301ng Vie\u0323\u0302t", "\u0130\u0131I\u0307", "\u00df\u1e9e\u00df", "\ufb01\ufb03", "\u01c5\u01c8\u01f2", "\u02b0\u02b1\u1d2c", "\u00aa\u00ba", "\u00aaBC", "A\u00aaB", "A\u0301BC",
    "camelCase PascalCase HTMLParser XMLHttpRequest iPhone", "ABCdef DEFghi", "aB", "Ab", "AB", "ABc'S", "don'tX", "\u01c5abc", "\u0301ABC", "\u0301Abc", "!ABC", "!abc", " ABC", "\tAbc",
    "    indented\n        more\n\tTab\n", "x = 1;  // comment", "{\"a\": [1, 2, {\"b\": null}]}", "def f(x):\n    return x ** 2\n\n\n", "<div class=\"a\">text</div>", "#include <vector>\n", "a->b::c<d>&&!e||~f",
    "https://example.org/a/b?c=d&e=f#g", "user@example.org", "C:\\path\\file.txt", "---\n***\n___", "| a | b |\n|---|---|\n", "$x^2 + y_1 = \\frac{1}{2}$", "=====", "!!!???...", "\u2026\u2014\u2013\u00ab\u00bb", "\u20ac100 \u00a35 \u00a51000", "\u00b1\u00d7\u00f7\u2260\u2264",
    " " * 7, " " * 33 + "x", "x" + " " * 64, "\n" * 20, "\t" * 9 + "x", " \t \t ", "a" * 100, "ab" * 200, "0" * 50, "-" * 80, "\u4e00" * 70, "\u0301" * 40, "e" + "\u0301\u0323" * 20,
    "\ue000", "\uffff", "\U000f0000", "\U0010ffff", "\u0378", "\u05ff", "\U0001f9ff", "\U00013000\U00013001", "\U00010400\U00010428", "\U0001e900\U0001e922", "\U000105c9", "\U00016d67\U00016d67",
    "\u0d4e\u0d3e", "\u0b92\u0bd7", "\u09c7\u09be", "\u1b05\u1b35", "\U000110a5\U000110ba", "\U000113c2\U000113c2", "\U00011935\U00011930", "q\u1ac1\u0323", "q\u1dfa\u0301",
]

CLASSES = [
    (0x20, 0x7F), (0x20, 0x7F), (0x41, 0x7B), (0x30, 0x3A), (0x0, 0x20), (0x80, 0x100), (0x100, 0x250), (0x250, 0x370), (0x300, 0x370),
    (0x370, 0x530), (0x530, 0x700), (0x700, 0x900), (0x900, 0xE00), (0xE00, 0x1000), (0x1000, 0x1200), (0x1100, 0x1200), (0x1200, 0x1780),
    (0x1780, 0x1C00), (0x1C00, 0x1E00), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2400), (0x2400, 0x2C00), (0x2C00, 0x3000), (0x3000, 0x3100),
    (0x3100, 0x3400), (0x4E00, 0xA000), (0xA000, 0xAC00), (0xAC00, 0xD7B0), (0xF900, 0xFB50), (0xFB00, 0xFE00), (0xFE00, 0x10000), (0x10000, 0x11000),
    (0x11000, 0x12000), (0x12000, 0x18000), (0x1B000, 0x1D800), (0x1D000, 0x1E000), (0x1E000, 0x1F000), (0x1F000, 0x1FB00), (0x20000, 0x32400), (0xE0000, 0xE01F0),
    (0x0, 0x110000),
]
HANDY = list(" \n\r\t'sStTrReEvVmMlLdD019.,!?-_/\u017f\u00a0\u0085\u180e\u3000\u0301\u0323\u0327\u093c\u1100\u1161\u11a8\uac00\u00aa\u01c5\u02b0")
FRAGMENTS = ["'s", "'S", "'ll", "'RE", "'\u017f", "\r\n", "\n\n", "  ", "    ", " the", "The", "ing", "123", "1234", "e\u0301", "\u0928\u094d", "\u1100\u1161\u11a8", "\U0001f469\u200d\U0001f467", "://", "();", "\u4eca\u5929", "<|", "|>", "\u00a0", "//\n"]


class TextMaker:
    """Random texts: characters of all classes, mutated text, added tokens in between. The same for the same seed."""

    def __init__(self, seed, added_tokens, known=lambda c: True):
        self.rng = random.Random(seed)
        self.added = added_tokens
        self.pools = [[chr(c) for c in range(*span) if not 0xD800 <= c < 0xE000 and known(chr(c))] for span in CLASSES]
        self.pools = [pool for pool in self.pools if pool]
        self.fixed = [text for text in FIXED if text and all(map(known, text))]
        self.handy = [c for c in HANDY if known(c)]

    def characters(self):
        rng = self.rng
        pools = rng.choices(self.pools, k=rng.choice((1, 2, 3, 5)))
        pools.append(self.handy)
        return "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(1, 24)))

    def mutated(self):
        rng = self.rng
        text = list(rng.choice(self.fixed))[:60]
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(text) + 1)
            action = rng.random()
            if action < 0.4:
                text.insert(at, rng.choice(self.handy))
            elif action < 0.6:
                text.insert(at, rng.choice(rng.choice(self.pools)))
            elif action < 0.8:
                del text[at:at + rng.randrange(1, 4)]
            else:
                text[at:at] = text[at // 2:at]
        return "".join(text[:200])

    def mixture(self):
        rng = self.rng
        parts = []
        for _ in range(rng.randrange(1, 7)):
            kind = rng.random()
            if kind < 0.45:
                parts.append(rng.choice(self.added))
            elif kind < 0.55:
                token = rng.choice(self.added)
                parts.append(token[:rng.randrange(len(token) + 1)])
            elif kind < 0.8:
                parts.append(rng.choice(FRAGMENTS))
            else:
                parts.append("".join(rng.choices(self.handy, k=rng.randrange(1, 5))))
        return "".join(parts)

    def text(self):
        kind = self.rng.random()
        return self.characters() if kind < 0.4 else self.mutated() if kind < 0.7 else self.mixture()


def assigned_in_unicode_14(c):
    """PCRE2 10.42 knows Unicode 14.0, as does the unicodedata of Python 3.11; U+0295 changed its class later."""
    return unicodedata.category(c) != "Cn" and c != "\u0295"


def around_added(tokens):
    """Every added token beside text, spaces, and the others."""
    out = []
    for token in tokens:
        out += [token, f"x{token}", f"{token}x", f"x{token}y", f" {token} ", f"  {token}  z", f"\n{token}\n", f"{token}{token}",
                f"({token})", f"1{token}2", f"\u00a0{token}\u3000", f"_{token}", f"{token}\u0301", token[:-1], token[1:]]
    out += ["".join(tokens), " ".join(tokens), "".join(reversed(tokens))]
    return out

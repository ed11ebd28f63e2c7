#!/usr/bin/env python3
"""Fails when code for an instruction set could be called by code for any processor.

    check_isolated_code.py libnvfp4_kernels_cpu_avx512.a ...

A function that the compiler may emit in several objects (a weak symbol: an inline function of the standard library, an
instance of a template) is kept once by the linker. When the copy that stays was compiled for AVX-512, processors without
it crash. So objects of these rooms may hold weak symbols of their own namespace only.
"""
import subprocess
import sys


def foreign_symbols(library: str):
    listing = subprocess.run(["nm", "-C", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        parts = line.split(" ", 2)
        if len(parts) == 3 and parts[1] in "WVu" and "nvfp4::kernels::cpu_avx" not in parts[2]:
            yield parts[2]


def main() -> int:
    found = [(library, symbol) for library in sys.argv[1:] for symbol in foreign_symbols(library)]
    for library, symbol in found:
        print(f"{library}: {symbol} may be kept for every processor")
    return 1 if found or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())

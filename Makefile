# The commands of the project. `make demo` and `make test` install what they need on Debian 12.
.PHONY: demo build test bench fuzz format tidy fixtures clean

demo: build
	tools/demo.sh

build:
	tools/setup.sh build
	cmake --preset release -DNVFP4_TESTS=OFF -DNVFP4_BENCH=OFF
	cmake --build --preset release

test:
	tools/test.sh

bench:
	tools/setup.sh test
	cmake --preset release
	cmake --build --preset release --target checkpoint_bench
	build/checkpoint_bench

# Long runs of the fuzz targets; MINUTES each.
MINUTES ?= 60
fuzz:
	tools/setup.sh test
	cmake --preset asan
	cmake --build --preset asan
	tools/fuzz.sh $(MINUTES)

format:
	git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 clang-format-19 -i

# Without precompiled headers: clang cannot read GCC's.
tidy:
	tools/setup.sh test
	cmake --preset release -B build-tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
	git ls-files 'src/*.cc' | grep -v _test.cc | xargs -P2 -n1 clang-tidy-19 -p build-tidy --quiet --warnings-as-errors='*'

fixtures:
	tools/fixtures/build.sh

clean:
	rm -rf build build-*

#include "kernels/catalogue/peak_catalogue.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu_portable/peak_rates.h"
#if NVFP4_X86
#include "kernels/cpu_avx2/peak_rates.h"
#include "kernels/cpu_avx512/peak_rates.h"
#endif

namespace nvfp4::kernels {
namespace {

template <class Loop>
std::vector<Loop> joined(std::initializer_list<std::span<const Loop>> rooms) {
  std::vector<Loop> loops;
  for (const std::span<const Loop> room : rooms) loops.insert(loops.end(), room.begin(), room.end());
  return loops;
}

}  // namespace

std::span<const MultiplyLoop> multiply_loops() {
  static const std::vector<MultiplyLoop> loops = joined<MultiplyLoop>({
#if NVFP4_X86
      cpu_avx512::multiply_loops(), cpu_avx2::multiply_loops(),
#endif
      cpu_portable::multiply_loops()});
  return loops;
}

std::span<const ReadLoop> read_loops() {
  static const std::vector<ReadLoop> loops = joined<ReadLoop>({
#if NVFP4_X86
      cpu_avx512::read_loops(), cpu_avx2::read_loops(),
#endif
      cpu_portable::read_loops()});
  return loops;
}

const MultiplyLoop* find_multiply_loop(Multiply kind, InstructionSet instruction_set) {
  const std::span<const MultiplyLoop> loops = multiply_loops();
  const auto found = std::find_if(loops.begin(), loops.end(), [&](const MultiplyLoop& loop) {
    return loop.kind == kind && loop.needs <= instruction_set;
  });
  return found == loops.end() ? nullptr : &*found;
}

const ReadLoop& find_read_loop(InstructionSet instruction_set) {
  const std::span<const ReadLoop> loops = read_loops();
  return *std::find_if(loops.begin(), loops.end(), [&](const ReadLoop& loop) { return loop.needs <= instruction_set; });
}

}  // namespace nvfp4::kernels

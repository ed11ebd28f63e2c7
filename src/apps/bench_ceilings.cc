#include "apps/bench_ceilings.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "kernels/catalogue/peak_catalogue.h"

namespace nvfp4::apps {
namespace {

using kernels::Multiply;
using kernels::MultiplyLoop;
using kernels::ReadLoop;

constexpr std::size_t kPrefetchBytes[] = {0, 1024, 4096, 16384};
constexpr std::size_t kSampleBytes = 32 << 20;  // for each prefetch distance
constexpr std::size_t kMaxPasses = 32;
constexpr std::size_t kMinColdPassBytes = 4 << 20;
constexpr std::size_t kPieceBytes = 1 << 20;
constexpr double kPieceOperations = 6e7;  // about a millisecond of the slowest loop
constexpr std::size_t kPiecesPerWorker = 4;

std::size_t whole_steps(std::size_t num_bytes) {
  return std::max<std::size_t>(num_bytes, 1 << 12) / ReadLoop::kStepBytes * ReadLoop::kStepBytes;
}

// What a loop returns must be used, or the compiler leaves the loop out.
void use(std::uint64_t value) {
  static std::atomic<std::uint64_t> sink;
  sink.store(value, std::memory_order_relaxed);
}

template <class Work>
double seconds_of(Work&& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// BF16 dot products count for every set that has their registers: best_instruction_set() may leave them out where the
// processor has them.
const MultiplyLoop* find_loop(Multiply kind, InstructionSet instruction_set) {
  const bool may_have_bf16 =
      instruction_set >= InstructionSet::kAvx512 && runs_here(InstructionSet::kAvx512Bf16) && kind == Multiply::kBF16;
  return kernels::find_multiply_loop(kind, may_have_bf16 ? InstructionSet::kAvx512Bf16 : instruction_set);
}

}  // namespace

Result<Ceilings> Ceilings::create(std::size_t num_bytes, InstructionSet instruction_set, WorkerPool& pool) {
  // Small buffers would not be in large pages.
  LargeBuffer buffer(std::max(whole_steps(num_bytes), LargeBuffer::kMinPagedBytes));
  if (!buffer.valid()) {
    return Error{ErrorCode::kIo, "nvfp4 bench", "there is no memory to measure how fast it is read; free some"};
  }
  pool.run_ranges(buffer.size(), kPieceBytes, [&](std::size_t begin, std::size_t end, std::size_t) {
    std::memset(buffer.data() + begin, 1, end - begin);  // pages that were never written share one
  });
  return Ceilings(std::move(buffer), instruction_set, pool);
}

Ceilings::Ceilings(LargeBuffer buffer, InstructionSet instruction_set, WorkerPool& pool)
    : buffer_(std::move(buffer)), instruction_set_(instruction_set), pool_(&pool) {}

void Ceilings::restart(bool int8, bool hot, std::size_t num_bytes) {
  hot_ = hot;
  // Cold, a short pass would be over before the memory is busy.
  const std::size_t wanted = hot ? num_bytes : std::clamp(num_bytes, kMinColdPassBytes, kSampleBytes);
  pass_bytes_ = std::min(whole_steps(wanted), buffer_.size());
  readers_.clear();
  for (const std::size_t prefetch_bytes : kPrefetchBytes) readers_.push_back({prefetch_bytes, {}});
  multipliers_.clear();
  for (const Multiply kind : {Multiply::kF32, Multiply::kBF16, Multiply::kInt8}) {
    const MultiplyLoop* const loop = (kind == Multiply::kInt8) == int8 ? find_loop(kind, instruction_set_) : nullptr;
    if (loop != nullptr) multipliers_.push_back({loop, {}});
  }
}

void Ceilings::sample() {
  for (Reader& reader : readers_) read(reader);
  for (Multiplier& multiplier : multipliers_) multiply(multiplier);
}

void Ceilings::read(Reader& reader) {
  const std::size_t num_passes = std::clamp<std::size_t>(kSampleBytes / pass_bytes_, 1, kMaxPasses);
  if (hot_) (void)read_pass(reader);
  for (std::size_t i = 0; i < num_passes; ++i) {
    reader.rates.add(static_cast<double>(pass_bytes_) / read_pass(reader));
  }
}

double Ceilings::read_pass(const Reader& reader) {
  if (hot_ || buffer_.size() - next_ < pass_bytes_) next_ = 0;
  const std::byte* const memory = buffer_.data() + next_;
  next_ += pass_bytes_;
  const ReadLoop& loop = kernels::find_read_loop(instruction_set_);
  const std::size_t piece_bytes = std::min(whole_steps(pass_bytes_ / (4 * pool_->num_workers())), kPieceBytes);
  return seconds_of([&] {
    pool_->run_ranges(pass_bytes_, piece_bytes, [&](std::size_t begin, std::size_t end, std::size_t) {
      use(loop.run(memory + begin, end - begin, reader.prefetch_bytes));
    });
  });
}

void Ceilings::multiply(Multiplier& multiplier) {
  const MultiplyLoop& loop = *multiplier.loop;
  const auto num_rounds = static_cast<std::uint64_t>(kPieceOperations / loop.operations_per_round);
  const std::size_t num_pieces = kPiecesPerWorker * pool_->num_workers();
  const double seconds = seconds_of([&] {
    pool_->run(num_pieces,
               [&](std::size_t, std::size_t) { use(static_cast<std::uint64_t>(loop.run(num_rounds) != 0)); });
  });
  multiplier.rates.add(static_cast<double>(num_pieces * num_rounds) * loop.operations_per_round / seconds);
}

double Ceilings::bytes_per_second() const {
  double best = 0;
  for (const Reader& reader : readers_) best = std::max(best, reader.rates.median());
  return best;
}

double Ceilings::operations_per_second() const {
  double best = 0;
  for (const Multiplier& multiplier : multipliers_) best = std::max(best, multiplier.rates.median());
  return best;
}

}  // namespace nvfp4::apps

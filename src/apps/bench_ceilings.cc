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
constexpr std::size_t kPassBytes = 48 << 20;
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

void Ceilings::restart(bool int8, std::size_t hot_bytes) {
  hot_bytes_ = hot_bytes == 0 ? 0 : std::min(whole_steps(hot_bytes), buffer_.size());
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
  if (hot_bytes_ == 0) {
    const std::size_t num_bytes = std::min(kPassBytes, buffer_.size());
    if (buffer_.size() - next_ < num_bytes) next_ = 0;
    const double seconds = seconds_of([&] { read_range(reader, next_, num_bytes, kPieceBytes); });
    next_ += num_bytes;
    reader.rates.add(static_cast<double>(num_bytes) / seconds);
    return;
  }
  const std::size_t num_rounds = std::max<std::size_t>(kPassBytes / 4 / hot_bytes_, 1);
  const std::size_t piece_bytes = whole_steps(hot_bytes_ / (4 * pool_->num_workers()));
  const auto read_all = [&](std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) read_range(reader, 0, hot_bytes_, piece_bytes);
  };
  read_all(1);
  const double seconds = seconds_of([&] { read_all(num_rounds); });
  reader.rates.add(static_cast<double>(num_rounds * hot_bytes_) / seconds);
}

void Ceilings::read_range(const Reader& reader, std::size_t begin, std::size_t num_bytes, std::size_t piece_bytes) {
  const ReadLoop& loop = kernels::find_read_loop(instruction_set_);
  pool_->run_ranges(num_bytes, piece_bytes, [&](std::size_t first, std::size_t last, std::size_t) {
    use(loop.run(buffer_.data() + begin + first, last - first, reader.prefetch_bytes));
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

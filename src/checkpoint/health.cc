#include "checkpoint/health.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "base/thread_team.h"
#include "checkpoint/health_rules.h"
#include "checkpoint/health_scan.h"

namespace nvfp4::checkpoint {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;  // stays in the second-level cache between read and scan
constexpr std::uint64_t kJobBytes = 4 << 20;     // what a thread takes at a time

enum class Content : std::uint8_t {
  kScalars,    // second-level and input scales: read and judged when the checkpoint was opened
  kCodes,      // packed along rows
  kCodesDown,  // packed down the columns: [.., K / 2, N]
  kBlockScales,
  kRowScales,
  kElements,  // all else, by its element type
};

struct Reading {
  Content content = Content::kElements;
  std::uint32_t block_size = 0;
  std::uint64_t row_bytes = 0;  // kCodesDown: N

  // Pieces start at multiples of this many bytes.
  [[nodiscard]] std::uint64_t unit() const {
    return content == Content::kCodesDown ? block_size / 2 * row_bytes : std::uint64_t{16};
  }
};

// Bytes [begin, end) of a tensor.
struct Piece {
  std::size_t tensor_idx = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

std::vector<Reading> plan_readings(const Checkpoint& checkpoint) {
  std::vector<Reading> readings(checkpoint.stored_tensors().size());
  const StoredTensor* const first = checkpoint.stored_tensors().data();
  const auto set = [&](const StoredTensor* tensor, const Reading& reading) {
    if (tensor != nullptr) readings[static_cast<std::size_t>(tensor - first)] = reading;
  };
  for (const DescribedTensor& weight : checkpoint.weights()) {
    set(weight.scale2_tensor, {Content::kScalars});
    set(weight.input_scale_tensor, {Content::kScalars});
    set(weight.block_scales, {Content::kBlockScales});
    set(weight.row_scales, {Content::kRowScales});
    if (weight.block_size == 0) continue;
    if (weight.transposed) {
      set(weight.data, {Content::kCodesDown, weight.block_size, weight.out_features()});
    } else {
      set(weight.data, {Content::kCodes, weight.block_size});
    }
  }
  return readings;
}

// Reads pieces, counts, and adds up the counts per tensor.
class Examination {
 public:
  Examination(const Checkpoint& checkpoint, const HealthOptions& options)
      : checkpoint_(checkpoint),
        options_(options),
        readings_(plan_readings(checkpoint)),
        counts_(checkpoint.stored_tensors().size()) {
    const std::span<const StoredTensor> tensors = checkpoint.stored_tensors();
    std::uint64_t open_job_bytes = kJobBytes;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::uint64_t size = tensors[i].num_bytes();
      if (readings_[i].content == Content::kScalars || size == 0) continue;
      num_bytes_ += size;
      const std::uint64_t unit = readings_[i].unit();
      const std::uint64_t step = std::max<std::uint64_t>(1, kJobBytes / unit) * unit;
      for (std::uint64_t begin = 0; begin < size; begin += std::min(step, size - begin)) {
        if (open_job_bytes >= kJobBytes) {
          jobs_.push_back(pieces_.size());
          open_job_bytes = 0;
        }
        pieces_.push_back({i, begin, begin + std::min(step, size - begin)});
        open_job_bytes += pieces_.back().end - begin;
      }
    }
  }

  Status run() {
    const std::size_t num_threads =
        std::min<std::size_t>(std::max<std::uint32_t>(1, options_.num_threads), jobs_.size());
    const auto caller = std::this_thread::get_id();
    ThreadTeam team(num_threads, [this, caller] {
      const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
      work({buffer.get(), kBufferBytes}, std::this_thread::get_id() == caller);
    });
    team.join();
    if (error_) return std::move(*error_);
    if (options_.progress) options_.progress(num_bytes_, num_bytes_);
    return checkpoint_.verify();
  }

  [[nodiscard]] std::span<const ScanCounts> counts() const { return counts_; }

 private:
  void work(std::span<std::byte> buffer, bool is_caller) {
    while (!stop_.load(std::memory_order_relaxed)) {
      const std::size_t job = next_job_.fetch_add(1, std::memory_order_relaxed);
      if (job >= jobs_.size()) return;
      const std::size_t end = job + 1 < jobs_.size() ? jobs_[job + 1] : pieces_.size();
      for (std::size_t i = jobs_[job]; i < end; ++i) {
        ScanCounts counts;
        Status status = scan(pieces_[i], buffer, counts);
        if (!status) return fail(i, std::move(status).error());
        const std::lock_guard lock(mutex_);
        counts_[pieces_[i].tensor_idx].merge(counts);
        num_done_ += pieces_[i].end - pieces_[i].begin;
      }
      if (is_caller && options_.progress) options_.progress(num_done_.load(), num_bytes_);
    }
  }

  // Jobs are begun in order and finished once begun, so the first error of the files is always among those reported.
  void fail(std::size_t piece_idx, Error error) {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
    if (error_ && failed_piece_ < piece_idx) return;
    error_ = std::move(error);
    failed_piece_ = piece_idx;
  }

  Status scan(const Piece& piece, std::span<std::byte> buffer, ScanCounts& counts) const {
    const StoredTensor& tensor = checkpoint_.stored_tensors()[piece.tensor_idx];
    const Reading& reading = readings_[piece.tensor_idx];
    if (reading.content == Content::kCodesDown) return scan_down(piece, tensor, reading, buffer, counts);
    for (std::uint64_t at = piece.begin; at < piece.end; at += buffer.size()) {
      const auto bytes = buffer.first(std::min<std::uint64_t>(buffer.size(), piece.end - at));
      NVFP4_RETURN_IF_ERROR(checkpoint_.read(tensor, at, bytes));
      const std::uint64_t first_idx = at * 8 / bits_per_element(tensor.dtype);
      switch (reading.content) {
        case Content::kCodes:
          scan_codes(bytes, reading.block_size, counts);
          break;
        case Content::kBlockScales:
          scan_block_scales(bytes, first_idx, counts);
          break;
        case Content::kRowScales:
          scan_row_scales(tensor.dtype, bytes, first_idx, counts);
          break;
        default:
          scan_floats(tensor.dtype, bytes, first_idx, counts);
      }
    }
    return {};
  }

  // Strips of columns, block_size / 2 rows high. A strip as wide as the rows is one piece of the file.
  Status scan_down(const Piece& piece, const StoredTensor& tensor, const Reading& reading, std::span<std::byte> buffer,
                   ScanCounts& counts) const {
    const std::uint64_t num_rows = reading.block_size / 2;
    const std::uint64_t max_width = buffer.size() / num_rows;
    for (std::uint64_t at = piece.begin; at < piece.end; at += reading.unit()) {
      for (std::uint64_t column = 0; column < reading.row_bytes; column += max_width) {
        const std::uint64_t width = std::min(max_width, reading.row_bytes - column);
        const auto strip = buffer.first(num_rows * width);
        if (width == reading.row_bytes) {
          NVFP4_RETURN_IF_ERROR(checkpoint_.read(tensor, at, strip));
        } else {
          for (std::uint64_t row = 0; row < num_rows; ++row) {
            NVFP4_RETURN_IF_ERROR(
                checkpoint_.read(tensor, at + row * reading.row_bytes + column, strip.subspan(row * width, width)));
          }
        }
        scan_codes_down(strip, reading.block_size, counts);
      }
    }
    return {};
  }

  const Checkpoint& checkpoint_;
  const HealthOptions& options_;
  std::vector<Reading> readings_;  // [stored_tensors]
  std::vector<Piece> pieces_;      // in the order of the files
  std::vector<std::size_t> jobs_;  // first piece of each
  std::uint64_t num_bytes_ = 0;

  std::atomic<std::size_t> next_job_{0};
  std::atomic<std::uint64_t> num_done_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;                // guards what follows
  std::vector<ScanCounts> counts_;  // [stored_tensors]
  std::optional<Error> error_;
  std::size_t failed_piece_ = 0;
};

}  // namespace

Result<HealthReport> check_health(const Checkpoint& checkpoint, const HealthOptions& options) {
  Examination examination(checkpoint, options);
  NVFP4_RETURN_IF_ERROR(examination.run());
  return judge_health(checkpoint, examination.counts());
}

}  // namespace nvfp4::checkpoint

#include "prepare/device_stager.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "layouts/fragment_16x64.h"

namespace nvfp4::prepare {
namespace {

using kernels::FragmentPieces;
using Source = kernels::RowMajorMatrix<const std::uint8_t>;

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kCopyGrain = 256 << 10;

std::size_t aligned(std::size_t num_bytes) { return (num_bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Of one row.
std::size_t code_bytes(const FragmentPieces& pieces) { return pieces.cols / 2; }
std::size_t scale_bytes(const FragmentPieces& pieces) { return pieces.cols / pieces.block_size; }

// What a piece takes in a slot: codes and scales of the first matrix, then of the second.
std::size_t slot_bytes(const FragmentPieces& piece) {
  const std::size_t num_rows = piece.num_matrices * piece.num_rows;
  const std::size_t num_bytes = aligned(num_rows * code_bytes(piece)) + aligned(num_rows * scale_bytes(piece));
  return piece.is_pair ? 2 * num_bytes : num_bytes;
}

Source rows_from(const Source& matrix, const FragmentPieces& pieces, std::uint64_t row) {
  if (matrix.codes == nullptr) return {};
  return {matrix.codes + row * code_bytes(pieces), matrix.scales + row * scale_bytes(pieces)};
}

std::uint64_t group_rows(const FragmentPieces& pieces) {
  return pieces.is_pair ? Fragment16x64::kPairRows : Fragment16x64::kRows;
}

std::uint64_t packed_bytes(const FragmentPieces& pieces, std::uint64_t num_rows) {
  return pieces.is_pair ? Fragment16x64::num_pair_bytes(num_rows, pieces.cols)
                        : Fragment16x64::num_bytes(num_rows, pieces.cols);
}

}  // namespace

Result<DeviceStager> DeviceStager::create(const kernels::FragmentPacker& packer, WorkerPool& pool,
                                          std::size_t piece_bytes) {
  auto stream = Stream::create();
  NVFP4_RETURN_IF_ERROR(stream);
  const auto make_slot = [&]() -> Result<Slot> {
    auto pinned = PinnedBuffer::allocate(piece_bytes);
    NVFP4_RETURN_IF_ERROR(pinned);
    auto buffer = Buffer::allocate(piece_bytes, "memory to load weights through");
    NVFP4_RETURN_IF_ERROR(buffer);
    auto sent = Event::create();
    NVFP4_RETURN_IF_ERROR(sent);
    return Slot{std::move(pinned).value(), std::move(buffer).value(), std::move(sent).value()};
  };
  auto first = make_slot();
  NVFP4_RETURN_IF_ERROR(first);
  auto second = make_slot();
  NVFP4_RETURN_IF_ERROR(second);
  return DeviceStager(packer, pool, piece_bytes, std::move(stream).value(),
                      {std::move(first).value(), std::move(second).value()});
}

Result<DeviceStager::Slot*> DeviceStager::next_slot() {
  Slot& slot = slots_[next_idx_++ % slots_.size()];
  NVFP4_RETURN_IF_ERROR(slot.sent.synchronize());
  return &slot;
}

void DeviceStager::copy(const std::uint8_t* from, std::size_t num_bytes, std::byte* to) {
  pool_->run_ranges(num_bytes, kCopyGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
    std::memcpy(to + begin, from + begin, end - begin);
  });
}

Status DeviceStager::upload(const std::byte* from, std::size_t num_bytes, std::byte* to) {
  for (std::size_t begin = 0; begin < num_bytes; begin += piece_bytes_) {
    const std::size_t count = std::min(piece_bytes_, num_bytes - begin);
    const auto slot = next_slot();
    NVFP4_RETURN_IF_ERROR(slot);
    copy(reinterpret_cast<const std::uint8_t*>(from) + begin, count, (*slot)->pinned.data());
    NVFP4_RETURN_IF_ERROR(
        runtime::copy(to + begin, (*slot)->pinned.data(), count, runtime::CopyKind::kToDevice, stream_.get()));
    NVFP4_RETURN_IF_ERROR((*slot)->sent.record(stream_.get()));
  }
  return {};
}

Status DeviceStager::pack_piece(const FragmentPieces& piece, const Source& first, const Source& second,
                                std::uint8_t* packed) {
  const auto slot = next_slot();
  NVFP4_RETURN_IF_ERROR(slot);
  const std::size_t num_rows = piece.num_matrices * piece.num_rows;
  std::size_t offset = 0;
  const auto stage = [&](const std::uint8_t* from, std::size_t num_bytes) {
    copy(from, num_bytes, (*slot)->pinned.data() + offset);
    const auto* const there = (*slot)->buffer.as<const std::uint8_t>() + offset;
    offset += aligned(num_bytes);
    return there;
  };
  Source staged[2];
  for (std::size_t i = 0; i < (piece.is_pair ? 2U : 1U); ++i) {
    const Source& from = i == 0 ? first : second;
    staged[i].codes = stage(from.codes, num_rows * code_bytes(piece));
    staged[i].scales = stage(from.scales, num_rows * scale_bytes(piece));
  }
  NVFP4_RETURN_IF_ERROR((*slot)->buffer.upload((*slot)->pinned.data(), offset, 0, stream_.get()));
  NVFP4_RETURN_IF_ERROR(packer_->pack(piece, staged[0], staged[1], packed, stream_.get()));
  return (*slot)->sent.record(stream_.get());
}

Status DeviceStager::pack(const FragmentPieces& pieces, const Source& first, const Source& second,
                          std::uint8_t* packed) {
  FragmentPieces one = pieces;
  one.num_matrices = 1;
  const std::size_t whole_bytes = slot_bytes(one);
  if (whole_bytes <= piece_bytes_) {  // whole matrices, as many as a slot holds
    const std::uint64_t step = std::max<std::uint64_t>(1, piece_bytes_ / std::max<std::size_t>(1, whole_bytes));
    for (std::uint64_t begin = 0; begin < pieces.num_matrices; begin += step) {
      FragmentPieces piece = pieces;
      piece.num_matrices = std::min(step, pieces.num_matrices - begin);
      const std::uint64_t row = begin * pieces.num_rows;
      NVFP4_RETURN_IF_ERROR(pack_piece(piece, rows_from(first, pieces, row), rows_from(second, pieces, row),
                                       packed + begin * packed_bytes(pieces, pieces.num_rows)));
    }
    return {};
  }
  one.num_rows = group_rows(pieces);
  const std::uint64_t num_groups = piece_bytes_ / slot_bytes(one);
  if (num_groups == 0) {
    return Error{ErrorCode::kUnsupported, "weights on the device",
                 fmt::format("rows of {} columns are longer than a piece of {} bytes", pieces.cols, piece_bytes_)};
  }
  const std::uint64_t step = num_groups * group_rows(pieces);
  for (std::uint64_t matrix_idx = 0; matrix_idx < pieces.num_matrices; ++matrix_idx) {
    std::uint8_t* const out = packed + matrix_idx * packed_bytes(pieces, pieces.num_rows);
    for (std::uint64_t begin = 0; begin < pieces.num_rows; begin += step) {
      one.num_rows = std::min(step, pieces.num_rows - begin);
      const std::uint64_t row = matrix_idx * pieces.num_rows + begin;
      NVFP4_RETURN_IF_ERROR(pack_piece(one, rows_from(first, pieces, row), rows_from(second, pieces, row),
                                       out + packed_bytes(pieces, begin)));
    }
  }
  return {};
}

Result<Buffer> DeviceStager::floats(std::span<const float> values, const std::string& name) {
  if (values.empty()) return Buffer();
  auto buffer = Buffer::allocate(values.size_bytes(), name);
  NVFP4_RETURN_IF_ERROR(buffer);
  NVFP4_RETURN_IF_ERROR(upload(reinterpret_cast<const std::byte*>(values.data()), values.size_bytes(), buffer->data()));
  return buffer;
}

}  // namespace nvfp4::prepare

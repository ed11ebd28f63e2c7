// Moves weights onto the device piece by piece: copied into pinned memory by all workers, sent, and brought into the
// kernels' layout there, while the next piece is being copied. Beside the weights themselves the device holds two
// pieces.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/worker_pool.h"
#include "device/buffer.h"
#include "device/stream.h"
#include "kernels/contract/device_pack.h"
#include "nvfp4/result.h"

namespace nvfp4::prepare {

class DeviceStager {
 public:
  static constexpr std::size_t kPieceBytes = 16 << 20;

  // For the device that is active. The pool outlives the stager.
  [[nodiscard]] static Result<DeviceStager> create(const kernels::FragmentPacker& packer, WorkerPool& pool,
                                                   std::size_t piece_bytes = kPieceBytes);

  // What is read may go when finish() has returned, and not earlier.
  [[nodiscard]] Status upload(const std::byte* from, std::size_t num_bytes, std::byte* to);
  // Row-major matrices of the host into the kernels' layout. `second` as kernels::FragmentPacker wants it.
  [[nodiscard]] Status pack(const kernels::FragmentPieces& pieces,
                            const kernels::RowMajorMatrix<const std::uint8_t>& first,
                            const kernels::RowMajorMatrix<const std::uint8_t>& second, std::uint8_t* packed);
  // A copy on the device; empty values: an empty buffer.
  [[nodiscard]] Result<Buffer> floats(std::span<const float> values, const std::string& name);
  // Into which pack() brings matrices.
  [[nodiscard]] kernels::DeviceWeightLayout nvfp4_layout() const { return packer_->layout; }
  // Waits until everything is there.
  [[nodiscard]] Status finish() { return stream_.synchronize(); }

 private:
  struct Slot {
    PinnedBuffer pinned;
    Buffer buffer;
    Event sent;  // everything that reads the slot is done
  };

  DeviceStager(const kernels::FragmentPacker& packer, WorkerPool& pool, std::size_t piece_bytes, Stream stream,
               std::array<Slot, 2> slots)
      : packer_(&packer),
        pool_(&pool),
        piece_bytes_(piece_bytes),
        stream_(std::move(stream)),
        slots_(std::move(slots)) {}

  [[nodiscard]] Result<Slot*> next_slot();
  void copy(const std::uint8_t* from, std::size_t num_bytes, std::byte* to);
  [[nodiscard]] Status pack_piece(const kernels::FragmentPieces& piece,
                                  const kernels::RowMajorMatrix<const std::uint8_t>& first,
                                  const kernels::RowMajorMatrix<const std::uint8_t>& second, std::uint8_t* packed);

  const kernels::FragmentPacker* packer_;
  WorkerPool* pool_;
  std::size_t piece_bytes_;
  Stream stream_;
  std::array<Slot, 2> slots_;
  std::size_t next_idx_ = 0;
};

}  // namespace nvfp4::prepare

#include "emulation/wide_products.h"

#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "emulation/access.h"
#include "emulation/block.h"
#include "emulation/matrix_operations.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

constexpr std::uint32_t kRows = 16;
constexpr std::uint32_t kDepth = 16;

using Products = std::vector<WideProduct>;

const WideProduct& product_of(const WarpMeetings::Slots& slots, std::uint32_t lane, std::size_t i) {
  return (*static_cast<const Products*>(slots[lane]))[i];
}

double bf16_value(std::uint32_t bits) { return std::bit_cast<float>(bits << 16U); }

// Bits 4 to 6 of an address change places with bits 7 to 9 of it.
std::uint32_t swizzled(std::uint32_t address) { return address ^ (address >> 3 & 0x70U); }

// Rows k of b, of 8 columns from the first on. What nobody wrote belongs to columns that only fill up a tile: zeros.
void load_columns(Block& block, std::uint32_t thread, const WideProduct& product, std::uint32_t first,
                  RowOfSums (&b)[kDepth]) {
  for (std::uint32_t i = 0; i < 8; ++i) {
    for (std::uint32_t k = 0; k < kDepth; k += 8) {
      const std::byte* const piece = block.shared.at(swizzled(product.columns + (first + i) * 128 + k * 2));
      std::array<std::uint16_t, 8> numbers{};
      if (is_written(block, piece, sizeof(numbers))) {
        touch_as(thread, AccessKind::kRead, piece, sizeof(numbers), product.code);
        std::memcpy(numbers.data(), piece, sizeof(numbers));
      }
      for (std::uint32_t j = 0; j < 8; ++j) b[k + j][i] = bf16_value(numbers[j]);
    }
  }
}

void multiply(Block& block, std::uint32_t first_thread, const WarpMeetings::Slots& slots, std::size_t idx) {
  double a[kRows][kDepth];
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    for (std::uint32_t i = 0; i < 8; ++i) {
      const ElementPlace place = bf16_place_of_a(lane, i);
      a[place.row][place.column] = bf16_value(product_of(slots, lane, idx).a[i / 2] >> i % 2 * 16 & 0xFFFFU);
    }
  }
  const WideProduct& any = product_of(slots, 0, idx);
  for (std::uint32_t first = 0; first < any.num_columns; first += 8) {
    RowOfSums b[kDepth];
    load_columns(block, first_thread, any, first, b);
    RowOfSums sums[kRows];
    for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      for (std::uint32_t i = 0; i < 4; ++i) {
        const ElementPlace place = place_of_c(lane, i);
        sums[place.row][place.column] = product_of(slots, lane, idx).d[first / 2 + i];
      }
    }
    add_products(sums, a[0], b, kDepth);
    for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      for (std::uint32_t i = 0; i < 4; ++i) {
        const ElementPlace place = place_of_c(lane, i);
        product_of(slots, lane, idx).d[first / 2 + i] = static_cast<float>(sums[place.row][place.column]);
      }
    }
  }
}

void multiply_for_all(Block& block, std::uint32_t first_thread, std::uint32_t /*mask*/,
                      const WarpMeetings::Slots& slots) {
  const std::size_t count = static_cast<const Products*>(slots[0])->size();
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    if (static_cast<const Products*>(slots[lane])->size() != count) block.fail("has more products than other lanes");
  }
  for (std::size_t i = 0; i < count; ++i) multiply(block, first_thread, slots, i);
  // Products have what all lanes loaded for them: lanes that go on are behind those loads.
  std::array<std::uint32_t, kWarpLanes> threads;
  std::iota(threads.begin(), threads.end(), first_thread);
  synchronize(block.block_idx(), block.clocks(), threads);
}

}  // namespace

void WideProducts::begin_block() { of_thread_.assign(kMaxThreads, {}); }

void WideProducts::start(Block& block, const WideProduct& product) {
  of_thread_[block.thread()].open.push_back(product);
}

void WideProducts::end_group(Block& block) {
  OfThread& mine = of_thread_[block.thread()];
  mine.groups.push_back(std::exchange(mine.open, {}));
}

void WideProducts::wait_for_groups(Block& block, std::size_t num_newest) {
  std::vector<Products>& groups = of_thread_[block.thread()].groups;
  if (groups.size() <= num_newest || is_planted(PlantedFault::kNoProductWait)) return;
  Products due;
  const auto end = groups.end() - static_cast<std::ptrdiff_t>(num_newest);
  for (auto group = groups.begin(); group != end; ++group) due.insert(due.end(), group->begin(), group->end());
  groups.erase(groups.begin(), end);
  block.meetings.meet(block, "wgmma", 0xFFFFFFFF, &due, multiply_for_all);
}

}  // namespace nvfp4::emulation

#include "emulation/access.h"

#include <algorithm>

#include "emulation/block.h"
#include "emulation/global_memory.h"
#include "emulation/program_symbols.h"

extern "C" {
extern const char __executable_start;  // by the linker
extern const char _end;
}

namespace nvfp4::emulation {
namespace {

std::uint64_t launch_generation = 1;

const char* verb(AccessKind kind) {
  if (kind == AccessKind::kRead) return "reads";
  return kind == AccessKind::kWrite ? "writes" : "changes";
}

// Tables of constants, and what the emulation itself keeps.
bool is_in_program(const void* address) { return address >= &__executable_start && address < &_end; }

// One access of one thread to one piece of memory.
class Check {
 public:
  Check(Block& block, std::uint32_t thread, AccessKind kind, const void* code)
      : block_(block), clock_(block.clocks()[thread]), thread_(thread), kind_(kind), code_(code) {}

  // Byte `idx` of the access; place(idx) is its name. Answers whether it is as it should be.
  template <class Place>
  bool byte(ShadowByte& shadow, const Place& place, std::size_t idx) {
    Found found;
    if (kind_ == AccessKind::kRead ? see_read(shadow, found) : see_write(shadow, found)) return true;
    conflict(found, place(idx));
    return false;
  }
  // A byte of shared memory that nobody wrote in this block.
  void unwritten(const std::string& place) { report("reads " + place + ", which nothing wrote"); }
  void report(const std::string& text) { block_.report(text + " (in " + code_name(code_) + ")", thread_); }

 private:
  [[nodiscard]] std::uint32_t my_id() const { return block_.block_idx() * block_.num_threads() + thread_; }
  [[nodiscard]] bool is_before(const Access& access) const {
    if (access.clock == Access::kInFlight) return false;
    if (access.clock == 0 || access.thread == my_id()) return true;
    const std::uint32_t block = access.thread / block_.num_threads();
    return clock_.view.clock(block, access.thread % block_.num_threads()) >= access.clock;
  }
  struct Found {
    Access other;
    const char* did = "";
  };
  void conflict(const Found& found, const std::string& place) {
    const Access& other = found.other;
    const std::uint32_t block = other.thread / block_.num_threads();
    const std::string thread = std::to_string(other.thread % block_.num_threads());
    const std::string who =
        block == block_.block_idx() ? "thread " + thread : "thread " + thread + " of block " + std::to_string(block);
    if (other.clock == Access::kInFlight) {
      report(std::string(verb(kind_)) + " " + place + " while a copy that " + who + " began has not been waited for");
    } else {
      report(std::string(verb(kind_)) + " " + place + ", which " + who + " " + found.did + "; nothing orders the two");
    }
  }
  static bool not_ordered(const Access& other, const char* did, Found& found) {
    found = {other, did};
    return false;
  }

  bool see_read(ShadowByte& shadow, Found& found) {
    if (!is_before(shadow.write)) return not_ordered(shadow.write, "wrote", found);
    Access& slot = slot_for_read(shadow);
    slot = {my_id(), clock_.now, false};
    return true;
  }
  [[nodiscard]] Access& slot_for_read(ShadowByte& shadow) const {
    for (Access& read : shadow.reads) {
      if (read.clock == 0 || read.thread == my_id()) return read;
    }
    return is_before(shadow.reads[0]) ? shadow.reads[0] : shadow.reads[1];
  }
  bool see_write(ShadowByte& shadow, Found& found) {
    const bool both_atomic = kind_ == AccessKind::kAtomic && shadow.write.is_atomic;
    if (!both_atomic && !is_before(shadow.write)) return not_ordered(shadow.write, "wrote", found);
    for (const Access& read : shadow.reads) {
      if (!is_before(read)) return not_ordered(read, "read", found);
    }
    shadow.write = {my_id(), clock_.now, kind_ == AccessKind::kAtomic};
    shadow.reads = {};
    return true;
  }

  Block& block_;
  const ThreadClock& clock_;
  std::uint32_t thread_;
  AccessKind kind_;
  const void* code_;
};

std::string hex(std::uint64_t number) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[number % 16]);
    number /= 16;
  } while (number != 0);
  return "0x" + text;
}

void touch_shared(Block& block, Check& check, AccessKind kind, const void* address, std::size_t num_bytes) {
  const std::uint32_t first = block.shared.address_of(address);
  const auto place = [&](std::size_t i) { return "shared address " + hex(first + i); };
  if (!block.shared.is_inside(first, num_bytes)) {
    check.report(std::string(verb(kind)) + " " + std::to_string(num_bytes) + " bytes at " + place(0) +
                 ", beyond what was declared");
    block.fail("cannot go on");
  }
  for (std::size_t i = 0; i < num_bytes; ++i) {
    ShadowByte& shadow = block.shared.shadow(first + static_cast<std::uint32_t>(i));
    if (kind != AccessKind::kWrite && shadow.write.clock == 0) {
      check.unwritten(place(i));
      return;
    }
    if (!check.byte(shadow, place, i)) return;
  }
}

void touch_global(Block& block, Check& check, AccessKind kind, Allocation& allocation, const void* address,
                  std::size_t num_bytes) {
  const auto first = static_cast<std::size_t>(static_cast<const std::byte*>(address) - allocation.data);
  const auto place = [&](std::size_t i) {
    return "byte " + std::to_string(first + i) + " of " + std::to_string(allocation.num_bytes) + " bytes of memory";
  };
  if (num_bytes > allocation.num_bytes - first) {
    check.report(std::string(verb(kind)) + " " + std::to_string(num_bytes) + " bytes at " + place(0));
    block.fail("cannot go on");
  }
  for (std::size_t i = 0; i < num_bytes; ++i) {
    if (!check.byte(allocation.shadow.at(first + i, launch_generation), place, i)) return;
  }
}

}  // namespace

std::string code_name(const void* code) { return function_at(code); }

void begin_generation_of_accesses() { ++launch_generation; }

void touch_as(std::uint32_t thread, AccessKind kind, const void* address, std::size_t num_bytes, const void* code) {
  Block* const block = Block::running();
  if (!kChecksAccesses || block == nullptr) return;
  Check check(*block, thread, kind, code);
  if (block->shared.has(address)) {
    touch_shared(*block, check, kind, address, num_bytes);
    return;
  }
  if (Allocation* const allocation = find_allocation(address); allocation != nullptr) {
    touch_global(*block, check, kind, *allocation, address, num_bytes);
    return;
  }
  if (kind == AccessKind::kRead && (is_in_program(address) || block->is_parameter(address))) return;
  check.report(std::string(verb(kind)) + " " + std::to_string(num_bytes) + " bytes that are not the device's");
  block->fail("cannot go on");
}

void touch(AccessKind kind, const void* address, std::size_t num_bytes, const void* code) {
  Block* const block = Block::running();
  if (!kChecksAccesses || block == nullptr || block->is_on_stack(address)) return;
  touch_as(block->thread(), kind, address, num_bytes, code);
}

void mark_in_flight(Block& block, const std::byte* to, std::size_t num_bytes) {
  const std::uint32_t id = block.block_idx() * block.num_threads() + block.thread();
  for (std::size_t i = 0; kChecksAccesses && i < num_bytes; ++i) {
    block.shared.shadow(block.shared.address_of(to + i)).write = {id, Access::kInFlight, false};
  }
}

void mark_written(Block& block, const std::byte* to, std::size_t num_bytes, std::uint32_t thread, std::uint32_t clock) {
  const std::uint32_t id = block.block_idx() * block.num_threads() + thread;
  for (std::size_t i = 0; kChecksAccesses && i < num_bytes; ++i) {
    block.shared.shadow(block.shared.address_of(to + i)).write = {id, clock, false};
  }
}

}  // namespace nvfp4::emulation

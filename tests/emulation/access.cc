#include "emulation/access.h"

#include <algorithm>
#include <array>

#include "emulation/block.h"
#include "emulation/global_memory.h"
#include "emulation/program_symbols.h"

extern "C" {
extern const char __executable_start;  // by the linker
extern const char _end;
}

namespace nvfp4::emulation {
namespace {

const char* verb(AccessKind kind) {
  if (kind == AccessKind::kRead) return "reads";
  return kind == AccessKind::kWrite ? "writes" : "changes";
}

// Tables of constants, and what the emulation itself keeps.
bool is_in_program(const void* address) { return address >= &__executable_start && address < &_end; }

// Places of the program that kernels read and that are no memory of theirs: threadIdx, tables of constants.
class ProgramReads {
 public:
  [[nodiscard]] bool has(const void* address) const { return recent_[place_of(address)] == address; }
  void remember(const void* address) { recent_[place_of(address)] = address; }

 private:
  static std::size_t place_of(const void* address) { return reinterpret_cast<std::uintptr_t>(address) / 4 % 256; }
  std::array<const void*, 256> recent_{};
};
ProgramReads& program_reads() {
  static ProgramReads reads;
  return reads;
}

bool is_in(const Block& block, const void* address) { return address >= &block && address < &block + 1; }

// One access of one thread to one piece of memory.
class Check {
 public:
  Check(Block& block, std::uint32_t thread, AccessKind kind, const void* code)
      : block_(block), clock_(block.clocks()[thread]), thread_(thread), kind_(kind), code_(code) {
    mine_ = {ThreadId::of(block.block_idx(), thread), clock_.now, block.order().launch, kind == AccessKind::kAtomic};
  }

  // A byte or a word; place() is its name. Answers whether it is as it should be.
  template <class Place>
  bool is_ordered(ShadowPlace& shadow, const Place& place) {
    Found found;
    if (kind_ == AccessKind::kRead ? see_read(shadow, found) : see_write(shadow, found)) return true;
    conflict(found, place());
    return false;
  }
  // A byte of shared memory that nobody wrote in this block.
  void unwritten(const std::string& place) { report("reads " + place + ", which nothing wrote"); }
  void report(const std::string& text) { block_.report(text + " (in " + code_name(code_) + ")", thread_); }

 private:
  [[nodiscard]] bool is_before(const Access& access) const {
    if (access.clock == 0) return true;
    if (access.launch != mine_.launch) return access.launch <= block_.order().last_ended(clock_.view);
    if (access.clock == Access::kInFlight) return false;
    return access.thread == mine_.thread ||
           clock_.view.clock(ThreadId::block(access.thread), ThreadId::thread(access.thread)) >= access.clock;
  }
  struct Found {
    Access other;
    const char* did = "";
  };
  void conflict(const Found& found, const std::string& place) {
    const Access& other = found.other;
    const std::uint32_t block = ThreadId::block(other.thread);
    const std::string thread = std::to_string(ThreadId::thread(other.thread));
    const std::string who =
        block == block_.block_idx() ? "thread " + thread : "thread " + thread + " of block " + std::to_string(block);
    const std::string what = std::string(verb(kind_)) + " " + place;
    if (other.launch != mine_.launch) {
      report(what + ", which a kernel ahead " + found.did + "; it may not have ended");
    } else if (other.clock == Access::kInFlight) {
      report(what + " while a copy that " + who + " began has not been waited for");
    } else {
      report(what + ", which " + who + " " + found.did + "; nothing orders the two");
    }
  }
  static bool not_ordered(const Access& other, const char* did, Found& found) {
    found = {other, did};
    return false;
  }

  bool see_read(ShadowPlace& shadow, Found& found) {
    if (!is_before(shadow.write)) return not_ordered(shadow.write, "wrote", found);
    slot_for_read(shadow) = mine_;
    return true;
  }
  [[nodiscard]] Access& slot_for_read(ShadowPlace& shadow) const {
    for (Access& read : shadow.reads) {
      if (read.clock == 0 || read.thread == mine_.thread) return read;
    }
    return is_before(shadow.reads[0]) ? shadow.reads[0] : shadow.reads[1];
  }
  bool see_write(ShadowPlace& shadow, Found& found) {
    const bool both_atomic = kind_ == AccessKind::kAtomic && shadow.write.is_atomic != 0;
    if (!both_atomic && !is_before(shadow.write)) return not_ordered(shadow.write, "wrote", found);
    for (const Access& read : shadow.reads) {
      if (!is_before(read)) return not_ordered(read, "read", found);
    }
    shadow.write = mine_;
    shadow.reads = {};
    return true;
  }

  Block& block_;
  const ThreadClock& clock_;
  std::uint32_t thread_;
  AccessKind kind_;
  const void* code_;
  Access mine_;
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

void touch_shared(Block& block, Check& check, AccessKind kind, std::uint32_t first, std::size_t num_bytes,
                  SharedMemory& memory) {
  const auto place = [&](std::size_t address) { return "shared address " + hex(address); };
  if (!memory.is_inside(first, num_bytes)) {
    check.report(std::string(verb(kind)) + " " + std::to_string(num_bytes) + " bytes at " + place(first) +
                 ", beyond what was declared");
    block.fail("cannot go on");
  }
  memory.visit(first, num_bytes, [&](ShadowPlace& shadow, std::size_t address) {
    if (kind != AccessKind::kWrite && shadow.write.clock == 0) {
      check.unwritten(place(address));
      return false;
    }
    return check.is_ordered(shadow, [&] { return place(address); });
  });
}

void touch_global(Block& block, Check& check, AccessKind kind, Allocation& allocation, const void* address,
                  std::size_t num_bytes) {
  const auto first = static_cast<std::size_t>(static_cast<const std::byte*>(address) - allocation.data);
  const auto place = [&](std::size_t offset) {
    return "byte " + std::to_string(offset) + " of " + std::to_string(allocation.num_bytes) + " bytes of memory";
  };
  if (num_bytes > allocation.num_bytes - first) {
    check.report(std::string(verb(kind)) + " " + std::to_string(num_bytes) + " bytes at " + place(first));
    block.fail("cannot go on");
  }
  allocation.shadow.visit(
      first, num_bytes, block.order().launch, block.order().ended_at_start,
      [&](ShadowPlace& shadow, std::size_t offset) { return check.is_ordered(shadow, [&] { return place(offset); }); });
}

}  // namespace

std::string code_name(const void* code) { return function_at(code); }

void touch_as(std::uint32_t thread, AccessKind kind, const void* address, std::size_t num_bytes, const void* code) {
  Block* const block = Block::running();
  if (!kChecksAccesses || block == nullptr) return;
  Check check(*block, thread, kind, code);
  if (block->shared.has(address)) {
    touch_shared(*block, check, kind, block->shared.address_of(address), num_bytes, block->shared);
    return;
  }
  if (Allocation* const allocation = find_allocation(address); allocation != nullptr) {
    touch_global(*block, check, kind, *allocation, address, num_bytes);
    return;
  }
  if (kind == AccessKind::kRead && is_in_program(address)) {
    program_reads().remember(address);
    return;
  }
  if (kind == AccessKind::kRead && (block->is_parameter(address) || is_in(*block, address))) return;
  check.report(std::string(verb(kind)) + " " + std::to_string(num_bytes) + " bytes that are not the device's");
  block->fail("cannot go on");
}

void touch(AccessKind kind, const void* address, std::size_t num_bytes, const void* code) {
  Block* const block = Block::running();
  if (!kChecksAccesses || block == nullptr || block->is_on_stack(address)) return;
  if (kind == AccessKind::kRead && program_reads().has(address)) return;
  touch_as(block->thread(), kind, address, num_bytes, code);
}

void touch_other(Block& other, std::uint32_t address, std::size_t num_bytes, const void* code) {
  Block& block = *Block::running();
  if (!kChecksAccesses) return;
  Check check(block, block.thread(), AccessKind::kRead, code);
  touch_shared(block, check, AccessKind::kRead, address, num_bytes, other.shared);
}

void mark_in_flight(Block& block, const std::byte* to, std::size_t num_bytes) {
  mark_written(block, to, num_bytes, block.thread(), Access::kInFlight);
}

void mark_written(Block& block, const std::byte* to, std::size_t num_bytes, std::uint32_t thread, std::uint32_t clock) {
  if (!kChecksAccesses) return;
  const Access write{ThreadId::of(block.block_idx(), thread), clock, block.order().launch, false};
  block.shared.visit(block.shared.address_of(to), num_bytes, [&](ShadowPlace& shadow, std::size_t /*address*/) {
    shadow.write = write;
    return true;
  });
}

bool is_written(Block& block, const std::byte* place, std::size_t num_bytes) {
  if (!kChecksAccesses) return true;
  bool answer = true;
  block.shared.visit(block.shared.address_of(place), num_bytes, [&](ShadowPlace& shadow, std::size_t /*address*/) {
    answer = answer && shadow.write.clock != 0;
    return answer;
  });
  return answer;
}

}  // namespace nvfp4::emulation

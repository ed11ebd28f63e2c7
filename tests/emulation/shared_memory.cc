#include "emulation/shared_memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "emulation/access.h"
#include "emulation/sanitizer.h"

#if NVFP4_EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace nvfp4::emulation {
namespace {

constexpr std::size_t kAlignment = 1024;
constexpr int kUnwritten = 0xA5;
// AddressSanitizer has places beside variables that nobody may touch: it sees no clusters.
constexpr bool kKeepsVariables = kChecksAccesses;

// The program's variables, by the linker.
extern "C" {
extern std::byte __data_start;
extern std::byte _end;
}

bool is_variable(const void* address) { return address >= &__data_start && address < &_end; }

}  // namespace

SharedMemory::SharedMemory()
    : memory_(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kBytes))),
      of_static_(static_cast<std::size_t>(&_end - &__data_start)) {
  if (memory_ == nullptr) std::abort();
  ASAN_POISON_MEMORY_REGION(memory_, kBytes);
}

SharedMemory::~SharedMemory() {
  ASAN_UNPOISON_MEMORY_REGION(memory_, kBytes);
  std::free(memory_);
}

void SharedMemory::begin_block(std::size_t dynamic_bytes) {
  if (kDynamicAt + dynamic_bytes > kBytes) {
    std::fprintf(stderr, "a block has more shared memory than any device\n");
    std::abort();
  }
  ++generation_;
  dynamic_bytes_ = used_bytes_ = dynamic_bytes;
  ASAN_POISON_MEMORY_REGION(memory_, kBytes);
  ASAN_UNPOISON_MEMORY_REGION(dynamic(), dynamic_bytes);
  std::memset(dynamic(), kUnwritten, dynamic_bytes);
  if (!kKeepsVariables) return;
  for (Variable& variable : variables_) variable.kept.assign(variable.place.num_bytes, std::byte{kUnwritten});
}

void SharedMemory::enter() {
  if (!kKeepsVariables) return;
  for (const Variable& variable : variables_) {
    std::memcpy(variable.place.first, variable.kept.data(), variable.place.num_bytes);
  }
}

void SharedMemory::leave() {
  if (!kKeepsVariables) return;
  for (Variable& variable : variables_) {
    std::memcpy(variable.kept.data(), variable.place.first, variable.place.num_bytes);
  }
}

// The variable that was found last comes first.
SharedMemory::Variable* SharedMemory::known_variable(const std::byte* place) {
  const auto holds = [&](const Variable& v) {
    return place >= v.place.first && place < v.place.first + v.place.num_bytes;
  };
  if (last_variable_ < variables_.size() && holds(variables_[last_variable_])) return &variables_[last_variable_];
  for (std::size_t i = 0; i < variables_.size(); ++i) {
    if (!holds(variables_[i])) continue;
    last_variable_ = i;
    return &variables_[i];
  }
  return nullptr;
}

const SharedMemory::Variable* SharedMemory::find_variable(const void* address) {
  if (!is_variable(address)) return nullptr;
  Variable* variable = known_variable(static_cast<const std::byte*>(address));
  if (variable == nullptr) {
    const StaticVariable found = static_variable_at(address);
    if (found.first == nullptr) return nullptr;
    if (kChecksAccesses) std::memset(found.first, kUnwritten, found.num_bytes);
    variable = &variables_.emplace_back(Variable{found, 0, std::vector<std::byte>(found.num_bytes)});
  }
  if (variable->generation != generation_) used_bytes_ += variable->place.num_bytes;
  variable->generation = generation_;
  return variable;
}

std::uint32_t SharedMemory::load_word_of_other(std::uint32_t address) {
  const std::byte* from = at(address);
  if (address >= kStaticAt) {
    const Variable& variable = *known_variable(from);
    from = variable.kept.data() + (from - variable.place.first);
  }
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

std::uint32_t SharedMemory::address_of(const void* pointer) const {
  const auto* const place = static_cast<const std::byte*>(pointer);
  if (is_dynamic(pointer)) return static_cast<std::uint32_t>(place - memory_);
  return kStaticAt + static_cast<std::uint32_t>(place - &__data_start);
}

std::byte* SharedMemory::at(std::uint32_t address) const {
  return address < kStaticAt ? memory_ + address : &__data_start + (address - kStaticAt);
}

bool SharedMemory::is_inside(std::uint32_t address, std::size_t num_bytes) {
  if (address < kStaticAt) return address >= kDynamicAt && address + num_bytes <= kDynamicAt + dynamic_bytes_;
  const std::byte* const place = at(address);
  const Variable* const variable = known_variable(place);
  return variable != nullptr && place + num_bytes <= variable->place.first + variable->place.num_bytes;
}

}  // namespace nvfp4::emulation

#include "emulation/program_symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

namespace nvfp4::emulation {
namespace {

// From the symbol table of the program's own file.
class Symbols {
 public:
  Symbols() : file_(read_file()), base_(load_address()) {
    if (file_.size() < sizeof(Elf64_Ehdr)) return;
    const auto header = load<Elf64_Ehdr>(0);
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
      const auto section = load<Elf64_Shdr>(header.e_shoff + i * sizeof(Elf64_Shdr));
      if (section.sh_type != SHT_SYMTAB) continue;
      const auto names = load<Elf64_Shdr>(header.e_shoff + section.sh_link * sizeof(Elf64_Shdr));
      add_symbols(section, names.sh_offset);
    }
  }

  [[nodiscard]] std::string function_at(std::uintptr_t code) const {
    const auto found = find(functions_, code);
    return found == functions_.end() ? "?" : demangled(found->second.name);
  }
  [[nodiscard]] StaticVariable variable_at(std::uintptr_t address) const {
    const auto found = find(variables_, address);
    if (found == variables_.end()) return {};
    return {reinterpret_cast<std::byte*>(found->first + base_), found->second.end - found->first};
  }

 private:
  struct Symbol {
    std::uintptr_t end;
    const char* name;
  };
  using ByFirst = std::map<std::uintptr_t, Symbol>;  // addresses as in the file

  [[nodiscard]] ByFirst::const_iterator find(const ByFirst& symbols, std::uintptr_t address) const {
    auto found = symbols.upper_bound(address - base_);
    if (found == symbols.begin()) return symbols.end();
    --found;
    return address - base_ < found->second.end ? found : symbols.end();
  }

  static std::vector<char> read_file() {
    std::ifstream file("/proc/self/exe", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static std::uintptr_t load_address() {
    std::uintptr_t base = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t /*size*/, void* to) {
          *static_cast<std::uintptr_t*>(to) = info->dlpi_addr;
          return 1;  // the program comes first
        },
        &base);
    return base;
  }
  template <class T>
  [[nodiscard]] T load(std::size_t offset) const {
    T value{};
    if (offset + sizeof(T) <= file_.size()) std::memcpy(&value, file_.data() + offset, sizeof(T));
    return value;
  }
  void add_symbols(const Elf64_Shdr& section, std::size_t names) {
    for (std::size_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = load<Elf64_Sym>(section.sh_offset + at);
      const auto type = ELF64_ST_TYPE(symbol.st_info);
      const char* const name = file_.data() + names + symbol.st_name;
      if (symbol.st_size == 0) continue;
      if (type == STT_FUNC) functions_[symbol.st_value] = {symbol.st_value + symbol.st_size, name};
      if (type == STT_OBJECT && is_of_kernel(name)) {
        variables_[symbol.st_value] = {symbol.st_value + symbol.st_size, name};
      }
    }
  }
  // Without namespaces of this project and without parameters.
  static std::string demangled(const char* name) {
    int status = 0;
    char* const text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    std::string readable = status == 0 ? text : name;
    std::free(text);
    for (const char* noise : {"nvfp4::kernels::", "nvfp4::", "(anonymous namespace)::"}) {
      for (std::size_t at = readable.find(noise); at != std::string::npos; at = readable.find(noise)) {
        readable.erase(at, std::strlen(noise));
      }
    }
    const std::size_t end = readable.rfind('(');
    if (end != std::string::npos && end > 0) readable.erase(end);
    return readable;
  }

  // In a function, and not one of the emulation.
  static bool is_of_kernel(const char* name) {
    constexpr const char* kInFunction = "_ZZ";
    return std::strncmp(name, kInFunction, std::strlen(kInFunction)) == 0 && std::strstr(name, "9emulation") == nullptr;
  }

  std::vector<char> file_;
  std::uintptr_t base_;
  ByFirst functions_;
  ByFirst variables_;
};

const Symbols& symbols() {
  static const Symbols of_program;
  return of_program;
}

}  // namespace

std::string function_at(const void* code) { return symbols().function_at(reinterpret_cast<std::uintptr_t>(code)); }

StaticVariable static_variable_at(const void* address) {
  return symbols().variable_at(reinterpret_cast<std::uintptr_t>(address));
}

}  // namespace nvfp4::emulation

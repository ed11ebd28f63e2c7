// What describing some of the weights gives beside the descriptions. Parts are filled by different threads and put
// together in the order of the weights.
#pragma once

#include <iterator>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::checkpoint {

struct DescriptionPart {
  Arena arena;  // what views of weights point into, beside the headers of the files
  std::vector<Finding> conflicts;
  std::vector<Finding> repairs;
  std::vector<Finding> ignored;

  void append(DescriptionPart part) {
    const auto move_all = [](std::vector<Finding>& from, std::vector<Finding>& to) {
      to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    };
    arena.adopt(std::move(part.arena));
    move_all(part.conflicts, conflicts);
    move_all(part.repairs, repairs);
    move_all(part.ignored, ignored);
  }
};

}  // namespace nvfp4::checkpoint

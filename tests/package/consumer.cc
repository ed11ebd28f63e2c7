// The example of the README: open a checkpoint, look at its weights, reconstruct one.
#include <iostream>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "nvfp4/version.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto checkpoint = nvfp4::Checkpoint::open(argv[1]);
  if (!checkpoint) {
    std::cerr << checkpoint.error().to_string() << '\n';
    return 2;
  }
  const nvfp4::DescribedTensor* weight = checkpoint->find(argv[2]);
  if (weight == nullptr) return 2;
  std::vector<float> row(weight->in_features());
  if (auto status = checkpoint->dequantize_rows(*weight, 0, 1, row); !status) {
    std::cerr << status.error().to_string() << '\n';
    return 2;
  }
  std::cout << "nvfp4 " << nvfp4::version() << ": " << weight->name << " is " << nvfp4::scheme_name(*weight)
            << ", its first value is " << row[0] << '\n';
  return 0;
}

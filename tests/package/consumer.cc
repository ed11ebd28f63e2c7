// The example of the README: open a checkpoint, look at its weights, reconstruct one.
#include <cstdio>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "nvfp4/version.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto checkpoint = nvfp4::Checkpoint::open(argv[1]);
  if (!checkpoint) {
    std::fprintf(stderr, "%s\n", checkpoint.error().to_string().c_str());
    return 2;
  }
  const nvfp4::DescribedTensor* weight = checkpoint->find(argv[2]);
  if (weight == nullptr) return 2;
  std::vector<float> row(weight->in_features());
  if (auto status = checkpoint->dequantize_rows(*weight, 0, 1, row); !status) {
    std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
    return 2;
  }
  const auto scheme = nvfp4::scheme_name(*weight);
  std::printf("nvfp4 %s: %s is %.*s, its first value is %g\n", nvfp4::version(), weight->name.c_str(), static_cast<int>(scheme.size()),
              scheme.data(), static_cast<double>(row[0]));
  return 0;
}

// A list of kernels for a command of its own: before all others one that is a little wrong, in one value of many.
#include <algorithm>
#include <string>
#include <vector>

#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::kernels {
namespace {

const LinearKernel& right_one() {
  const auto kernels = built_in_linear_kernels();
  return *std::find_if(kernels.begin(), kernels.end(),
                       [](const LinearKernel& kernel) { return kernel.name == "linear_nvfp4_nvfp4_loops"; });
}

void run_wrong(const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
               WorkerPool& pool) {
  right_one().run(weight, activation, args, workspace, pool);
  if (args.num_rows > 1) args.y[(args.num_rows - 1) * weight.out_features] *= 1.01F;
}

std::vector<LinearKernel> planted_kernels() {
  const auto kernels = built_in_linear_kernels();
  std::vector<LinearKernel> planted = {right_one()};
  planted[0].name = "linear_nvfp4_nvfp4_planted";
  planted[0].run = run_wrong;
  planted[0].run_gated = nullptr;
  planted.insert(planted.end(), kernels.begin(), kernels.end());
  return planted;
}

}  // namespace

std::span<const LinearKernel> linear_kernels() {
  static const std::vector<LinearKernel> kernels = planted_kernels();
  return kernels;
}

}  // namespace nvfp4::kernels

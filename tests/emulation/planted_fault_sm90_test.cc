// Faults planted into Hopper's kernels, and into small ones that use what only newer devices have: kernels that
// overlap, clusters, barriers in memory. Each is found; what is right raises no alarm.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "emulation/access.h"
#include "emulation/fault.h"
#include "emulation/planted_fault.h"
#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/cluster_memory.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm90/moe_decode.h"
#include "kernels/cuda_sm90/moe_nvfp4_bf16_wgmma.h"
#include "kernels/reference/moe.h"
#include "support/gpu_moe.h"

// Not in emulation: shared variables of its own functions are none of kernels.
namespace nvfp4 {
namespace {

using namespace emulation;
using kernels::launch;
using kernels::LaunchShape;
using support::GpuArray;
using support::GpuQueue;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

std::string all_faults() {
  std::string text;
  for (const std::string& fault : take_faults()) text += fault + "\n";
  return text;
}

auto tells_of_disorder() {
  return AnyOf(HasSubstr("nothing orders the two"), HasSubstr("has not been waited for"), HasSubstr("nothing wrote"));
}

class Sm90Faults : public testing::Test {
 protected:
  void SetUp() override {
    if (!kChecksAccesses) GTEST_SKIP() << "AddressSanitizer takes the place of the check of accesses";
  }
};

// A layer of the real kernels; the relative error.
double error_of(const kernels::DeviceMoeKernel& kernel, std::uint32_t num_tokens, std::uint32_t hidden,
                std::uint32_t top_k) {
  const GpuQueue queue;
  support::Random random(3);
  support::MoeSpec spec;
  spec.problem.function = kernels::ExpertFunction::kSilu;
  spec.problem.hidden = hidden;
  spec.problem.intermediate = 80;
  spec.problem.num_experts = 5;
  spec.problem.top_k = top_k;
  spec.num_tokens = num_tokens;
  const support::RandomMoe moe(spec, random);
  // That two runs give the same bits is no promise of faulty kernels.
  testing::TestPartResultArray failures;
  const testing::ScopedFakeTestPartResultReporter reporter(
      testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
  const auto y = support::GpuMoe(queue, moe).run(kernel, 0, num_tokens);
  const double error = kernels::reference::relative_error(y, moe.reference());
  return std::isnan(error) ? INFINITY : error;
}
// Of few tokens.
double error_of(std::uint32_t num_tokens, std::uint32_t hidden = 80, std::uint32_t top_k = 3) {
  return error_of(kernels::cuda_sm90::moe_nvfp4_bf16_mma_bulk(), num_tokens, hidden, top_k);
}
// Of many, with tiles of FC1 for all kinds of numbers of them; rings go round more than once.
constexpr std::uint32_t kTokensOfWgmma[] = {9, 50, 150};
double wgmma_error_of(std::uint32_t num_tokens) {
  return error_of(kernels::cuda_sm90::moe_nvfp4_bf16_wgmma(), num_tokens, 400, 2);
}

constexpr std::uint32_t kOne = 1;
constexpr std::uint32_t kFew = 3;      // all rows stay, two warps share an item, FC2 adds over the experts
constexpr std::uint32_t kMany = 25;    // rows take turns
constexpr std::uint32_t kWide = 1040;  // features
constexpr double kTolerance = 5e-3;

TEST_F(Sm90Faults, NoneRaisesNoAlarm) {
  for (const std::uint32_t num_tokens : {kOne, kFew, kMany}) EXPECT_LE(error_of(num_tokens), kTolerance);
  EXPECT_FALSE(has_faults());
}

TEST_F(Sm90Faults, ARemovedBarrierOfTheBlockIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoBlockBarrier);
  for (const std::uint32_t num_tokens : {kOne, kFew, kMany}) {
    static_cast<void>(error_of(num_tokens));
    EXPECT_THAT(all_faults(), AnyOf(tells_of_disorder(), HasSubstr("which nobody initialised"))) << num_tokens;
  }
}

// Of wide layers: their warps ask for weights in the place of what all lanes have read.
TEST_F(Sm90Faults, ARemovedBarrierOfAWarpIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoWarpBarrier);
  for (const std::uint32_t num_tokens : {kOne, kFew, kMany}) {
    static_cast<void>(error_of(num_tokens, kWide));
    EXPECT_THAT(all_faults(), tells_of_disorder()) << num_tokens;
  }
}

TEST_F(Sm90Faults, ARemovedBarrierOfWarpsThatShareAnItemIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoNumberedBarrier);
  static_cast<void>(error_of(kFew));
  EXPECT_THAT(all_faults(), tells_of_disorder());
}

TEST_F(Sm90Faults, ARemovedWaitForBulkCopiesIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoBulkWait);
  for (const std::uint32_t num_tokens : {kFew, kMany}) {
    EXPECT_GT(error_of(num_tokens), kTolerance);
    EXPECT_THAT(all_faults(), HasSubstr("has not been waited for")) << num_tokens;
  }
}

TEST_F(Sm90Faults, ARemovedWaitForCopiesIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoCopyWait);
  EXPECT_GT(error_of(kOne), kTolerance);
  EXPECT_THAT(all_faults(), HasSubstr("has not been waited for"));
}

// Those of the lanes that leave a buffer of rows.
TEST_F(Sm90Faults, ARemovedOrderOfArrivalsIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoArrivalOrder);
  static_cast<void>(error_of(kMany));
  // ask_for_rows(), or the function that the compiler put it into.
  EXPECT_THAT(all_faults(), AllOf(AnyOf(HasSubstr("ask_for_rows"), HasSubstr("leave_rows"), HasSubstr("pass_to")),
                                  HasSubstr("nothing orders the two")));
}

TEST_F(Sm90Faults, ARemovedWaitForTheKernelAheadIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoWaitForKernels);
  for (const std::uint32_t num_tokens : {kOne, kFew, kMany}) {
    static_cast<void>(error_of(num_tokens));
    EXPECT_THAT(all_faults(), HasSubstr("it may not have ended")) << num_tokens;
  }
}

TEST_F(Sm90Faults, NoneRaisesNoAlarmWithWgmma) {
  for (const std::uint32_t num_tokens : kTokensOfWgmma) EXPECT_LE(wgmma_error_of(num_tokens), kTolerance);
  EXPECT_FALSE(has_faults());
}

// Sums, operands, or a stage of the ring are somebody else's before the products have ended.
TEST_F(Sm90Faults, ARemovedWaitForProductsIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoProductWait);
  for (const std::uint32_t num_tokens : kTokensOfWgmma) EXPECT_GT(wgmma_error_of(num_tokens), kTolerance);
  static_cast<void>(all_faults());
}

TEST_F(Sm90Faults, ARemovedWaitForAStageIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoBulkWait);
  EXPECT_GT(wgmma_error_of(kTokensOfWgmma[0]), kTolerance);
  EXPECT_THAT(all_faults(), tells_of_disorder());
}

TEST_F(Sm90Faults, ARemovedOrderOfStagesIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoArrivalOrder);
  for (const std::uint32_t num_tokens : kTokensOfWgmma) {
    static_cast<void>(wgmma_error_of(num_tokens));
    EXPECT_THAT(all_faults(), HasSubstr("nothing orders the two")) << num_tokens;
  }
}

TEST_F(Sm90Faults, ARemovedWaitForTheKernelAheadOfWgmmaIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoWaitForKernels);
  for (const std::uint32_t num_tokens : kTokensOfWgmma) {
    static_cast<void>(wgmma_error_of(num_tokens));
    EXPECT_THAT(all_faults(), HasSubstr("it may not have ended")) << num_tokens;
  }
}

TEST(Sm90Values, ASwappedFragmentIsFound) {
  const WithPlantedFault planted(PlantedFault::kSwappedFragment);
  for (const std::uint32_t num_tokens : {kOne, kFew, kMany}) EXPECT_GT(error_of(num_tokens), kTolerance);
  EXPECT_FALSE(has_faults());
}

// --- Kernels that overlap: what each of them does, in its order.
enum class Step : std::uint8_t { kNothing, kWait, kLetNextStart, kRead, kWrite };

struct Steps {
  Step of[4] = {};
};

__global__ void do_steps(Steps steps, std::uint32_t* numbers, std::uint32_t* out) {
  for (const Step step : steps.of) {
    if (step == Step::kWait) kernels::wait_for_earlier_kernels();
    if (step == Step::kLetNextStart) kernels::let_next_kernel_start();
    if (step == Step::kRead) out[threadIdx.x] = numbers[threadIdx.x];
    if (step == Step::kWrite) numbers[threadIdx.x] = threadIdx.x;
  }
}

std::string faults_of(const std::vector<Steps>& kernels) {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> numbers(queue, 32);
  std::vector<GpuArray<std::uint32_t>> outs;
  outs.reserve(kernels.size());
  for (const Steps& steps : kernels) {
    outs.emplace_back(queue, 32);
    queue.expect_ok(runtime::synchronize(queue.get()));
  }
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    queue.expect_ok(
        launch("steps", do_steps, LaunchShape{.blocks = 1}, queue.get(), kernels[i], numbers.data(), outs[i].data()));
  }
  return all_faults();
}

TEST_F(Sm90Faults, AKernelThatWaitsIsBehindThoseAhead) {
  const Steps writes{{Step::kWait, Step::kWrite}};
  EXPECT_EQ(faults_of({writes, {{Step::kWait, Step::kRead}}}), "");
  EXPECT_EQ(faults_of({writes, {{Step::kWait}}, {{Step::kWait, Step::kRead}}}), "");
  EXPECT_EQ(faults_of({{{Step::kLetNextStart, Step::kWait, Step::kWrite}}, {{Step::kWait, Step::kWrite}}}), "");
}

TEST_F(Sm90Faults, AnAccessBeforeTheWaitIsFound) {
  const Steps writes{{Step::kWait, Step::kWrite}};
  const Steps reads{{Step::kWait, Step::kRead}};
  EXPECT_THAT(faults_of({writes, {{Step::kRead, Step::kWait}}}), HasSubstr("which a kernel ahead wrote"));
  EXPECT_THAT(faults_of({reads, {{Step::kWrite, Step::kWait}}}), HasSubstr("which a kernel ahead read"));
  EXPECT_THAT(faults_of({writes, {{Step::kNothing}}}), HasSubstr("ends without having waited"));
}

// What is two kernels ahead has ended when the one ahead waited before it let others start, and only then.
TEST_F(Sm90Faults, AnAccessBesideAKernelTwoAheadIsFound) {
  const Steps writes{{Step::kLetNextStart, Step::kWait, Step::kWrite}};
  const Steps reads_early{{Step::kRead, Step::kWait}};
  EXPECT_EQ(faults_of({writes, {{Step::kWait, Step::kLetNextStart}}, reads_early}), "");
  EXPECT_THAT(faults_of({writes, {{Step::kLetNextStart, Step::kWait}}, reads_early}), HasSubstr("may not have ended"));
}

// --- Clusters: each block adds up what all have in their shared memory.
template <bool kSynchronizes, bool kStays>
__global__ void add_over_cluster(std::uint32_t* to) {
  __shared__ std::uint32_t numbers[32];
  kernels::wait_for_earlier_kernels();
  numbers[threadIdx.x] = 100 * blockIdx.x + threadIdx.x;
  if (kSynchronizes) kernels::synchronize_cluster();
  std::uint32_t sum = 0;
  for (std::uint32_t block = 0; block < gridDim.x; ++block)
    sum += kernels::load_from_cluster(numbers + threadIdx.x, block);
  to[blockIdx.x * 32 + threadIdx.x] = sum;
  if (kStays) kernels::synchronize_cluster();
}

template <bool kSynchronizes, bool kStays>
std::vector<std::uint32_t> sums_over_cluster() {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> to(queue, 4 * 32);
  queue.expect_ok(launch("add", add_over_cluster<kSynchronizes, kStays>, LaunchShape{.blocks = 4, .cluster = 4},
                         queue.get(), to.data()));
  return to.host();
}

TEST_F(Sm90Faults, BlocksOfAClusterSeeOneAnother) {
  const std::vector<std::uint32_t> sums = sums_over_cluster<true, true>();
  for (std::uint32_t i = 0; i < sums.size(); ++i) EXPECT_EQ(sums[i], 600 + 4 * (i % 32));
  EXPECT_FALSE(has_faults());
}

TEST_F(Sm90Faults, ARemovedBarrierOfTheClusterIsFound) {
  static_cast<void>(sums_over_cluster<false, true>());
  EXPECT_THAT(all_faults(), tells_of_disorder());
  const WithPlantedFault planted(PlantedFault::kNoClusterBarrier);
  static_cast<void>(sums_over_cluster<true, true>());
  EXPECT_THAT(all_faults(), AnyOf(tells_of_disorder(), HasSubstr("has ended")));
}

TEST_F(Sm90Faults, ReadingABlockThatHasEndedIsFound) {
  for (int i = 0; i < 8 && !has_faults(); ++i) static_cast<void>(sums_over_cluster<true, false>());
  EXPECT_THAT(all_faults(), HasSubstr("which has ended"));
}

// --- Barriers in memory, by one thread and by another.
template <bool kPublishes, bool kSynchronizes>
__global__ void copy_once(const std::uint32_t* from, std::uint32_t* to) {
  auto* const words = reinterpret_cast<std::uint32_t*>(kernels::dynamic_shared());
  const std::uint32_t barrier = kernels::shared_address(words + 32);
  if (threadIdx.x == 0) {
    kernels::init_barrier(barrier, 1);
    if (kPublishes) kernels::publish_barriers();
  }
  if (kSynchronizes) __syncthreads();
  if (threadIdx.x == 0) {
    kernels::arrive_expecting(barrier, 128);
    kernels::copy_bulk(kernels::shared_address(words), from, 128, barrier);
  }
  kernels::wait_barrier(barrier, 0);
  to[threadIdx.x] = words[threadIdx.x];
}

template <bool kPublishes, bool kSynchronizes>
std::string faults_of_copy() {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> from(queue, std::vector<std::uint32_t>(32, 7));
  const GpuArray<std::uint32_t> to(queue, 32);
  queue.expect_ok(kernels::launch_in_order("copy", copy_once<kPublishes, kSynchronizes>,
                                           LaunchShape{.shared_bytes = 128 + 8}, queue.get(),
                                           static_cast<const std::uint32_t*>(from.data()), to.data()));
  return all_faults();
}

TEST_F(Sm90Faults, ABarrierInMemoryMustBeKnownToThoseWhoUseIt) {
  EXPECT_EQ((faults_of_copy<true, true>()), "");
  EXPECT_THAT((faults_of_copy<false, true>()), HasSubstr("was not published"));
  EXPECT_THAT((faults_of_copy<true, false>()), AnyOf(HasSubstr("nothing orders the two"), HasSubstr("nobody init")));
}

}  // namespace
}  // namespace nvfp4

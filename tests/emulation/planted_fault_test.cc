// Faults planted into the kernels themselves, and into small ones: each is found. What is right raises no alarm.
#include "emulation/planted_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "emulation/access.h"
#include "emulation/emulated_device.h"
#include "emulation/fault.h"
#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm80/linear_rows.h"
#include "support/gpu_linear_rows.h"

// Not in emulation: shared variables of its own functions are none of kernels.
namespace nvfp4 {
namespace {

using namespace emulation;
using kernels::launch_in_order;
using kernels::LaunchShape;
using support::GpuArray;
using support::GpuQueue;
using testing::AnyOf;
using testing::HasSubstr;

std::string all_faults() {
  std::string text;
  for (const std::string& fault : take_faults()) text += fault + "\n";
  return text;
}

// Which of them comes first depends on the order in which threads run.
auto tells_of_disorder() {
  return AnyOf(HasSubstr("nothing orders the two"), HasSubstr("has not been waited for"), HasSubstr("nothing wrote"));
}

// A layer of the real kernels, in the shape that a number of multiprocessors leads to; the largest error in units of
// what rounding allows.
double worst_error(std::uint32_t num_tokens, std::uint32_t num_sms,
                   kernels::WeightFormat format = kernels::WeightFormat::kBF16) {
  const GpuQueue queue;
  const kernels::DeviceLinearKernel& kernel = format == kernels::WeightFormat::kFp8
                                                  ? kernels::cuda_sm80::linear_fp8_bf16_mma()
                                                  : kernels::cuda_sm80::linear_bf16_mma();
  support::Random random(3);
  support::LinearSpec spec;
  spec.format = format;
  spec.out_features = 70;
  spec.in_features = 1040;
  const support::RandomLinear linear = support::make_linear(spec, random);
  const std::vector<kernels::Bf16Bits> x = support::random_x(num_tokens * spec.in_features, random);
  std::vector<float> x_f32;
  for (const kernels::Bf16Bits value : x) x_f32.push_back(decode_bf16(value));
  kernels::LinearArgs args;
  args.x = x_f32.data();
  args.num_rows = num_tokens;
  std::vector<double> magnitude;
  const std::vector<double> expected = kernels::reference::linear(linear.view(), spec.activation, args, &magnitude);
  const support::GpuLinearRows gpu(queue, kernel, linear);
  // That two runs give the same bits is no promise of faulty kernels.
  testing::TestPartResultArray failures;
  const testing::ScopedFakeTestPartResultReporter reporter(
      testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
  const std::vector<float> y = gpu.run<float>(x, num_tokens, {.num_sms = num_sms});
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double allowed = static_cast<double>(spec.in_features + 8) * 0x1p-24 * magnitude[i];
    worst = std::isnan(y[i]) ? INFINITY : std::max(worst, std::fabs(y[i] - expected[i]) / allowed);
  }
  return worst;
}

constexpr std::uint32_t kFew = 5;
constexpr std::uint32_t kMany = 40;
constexpr std::uint32_t kSplitSms = 16;  // enough for parts of K

class PlantedFaults : public testing::Test {
 protected:
  void SetUp() override {
    if (!kChecksAccesses) GTEST_SKIP() << "AddressSanitizer takes the place of the check of accesses";
  }
};

TEST_F(PlantedFaults, NoneRaisesNoAlarm) {
  for (const std::uint32_t num_tokens : {kFew, kMany}) EXPECT_LE(worst_error(num_tokens, kSplitSms), 1.0);
  EXPECT_FALSE(has_faults());
}

TEST_F(PlantedFaults, ARemovedBarrierIsFoundInEveryKernel) {
  const WithPlantedFault planted(PlantedFault::kNoBlockBarrier);
  for (const std::uint32_t num_tokens : {kFew, kMany}) {
    static_cast<void>(worst_error(num_tokens, 1));
    EXPECT_THAT(all_faults(), tells_of_disorder()) << num_tokens;
  }
}

TEST_F(PlantedFaults, ARemovedBarrierOfAWarpIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoWarpBarrier);
  static_cast<void>(worst_error(kFew, 1, kernels::WeightFormat::kFp8));
  EXPECT_THAT(all_faults(), tells_of_disorder());
}

TEST_F(PlantedFaults, ARemovedWaitForCopiesIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoCopyWait);
  for (const std::uint32_t num_tokens : {kFew, kMany}) {
    EXPECT_GT(worst_error(num_tokens, 1), 1.0);
    EXPECT_THAT(all_faults(), HasSubstr("has not been waited for")) << num_tokens;
  }
}

TEST_F(PlantedFaults, ARemovedFenceBetweenBlocksIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoFence);
  static_cast<void>(worst_error(kMany, kSplitSms));
  EXPECT_THAT(all_faults(), HasSubstr("of block"));
}

TEST(PlantedValues, ASwappedFragmentIsFound) {
  const WithPlantedFault planted(PlantedFault::kSwappedFragment);
  for (const std::uint32_t num_tokens : {kFew, kMany}) EXPECT_GT(worst_error(num_tokens, 1), 1.0);
  EXPECT_FALSE(has_faults());
}

TEST(PlantedValues, ARemovedWaitForCopiesGivesWrongNumbers) {
  const WithPlantedFault planted(PlantedFault::kNoCopyWait);
  for (const std::uint32_t num_tokens : {kFew, kMany}) EXPECT_GT(worst_error(num_tokens, 1), 1.0);
  static_cast<void>(take_faults());
}

// Small kernels, each with a fault of its own.
__global__ void copy_numbers(const std::uint32_t* from, std::uint32_t* to, std::uint32_t count) {
  if (threadIdx.x < count) to[threadIdx.x] = from[threadIdx.x];
}

void copy_too_many(std::uint32_t num_from, std::uint32_t num_to) {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> from(queue, std::vector<std::uint32_t>(num_from, 7));
  const GpuArray<std::uint32_t> to(queue, num_to);
  queue.expect_ok(launch_in_order("copy", copy_numbers, LaunchShape{.num_threads = 64}, queue.get(),
                                  static_cast<const std::uint32_t*>(from.data()), to.data(), 64U));
}

TEST(OutOfBounds, AreFoundInGlobalMemory) {
  copy_too_many(64, 64);
  EXPECT_FALSE(has_faults());
  if (!kChecksAccesses) {
    EXPECT_DEATH(copy_too_many(63, 64), "heap-buffer-overflow");
    EXPECT_DEATH(copy_too_many(64, 63), "heap-buffer-overflow");
    return;
  }
  copy_too_many(63, 64);
  EXPECT_THAT(all_faults(), HasSubstr("thread 63 reads 4 bytes"));
  copy_too_many(64, 63);
  EXPECT_THAT(all_faults(), HasSubstr("thread 63 writes 4 bytes"));
}

__global__ void write_beyond(std::uint32_t num_dynamic, std::uint32_t num_static, std::uint32_t* to) {
  __shared__ std::uint32_t numbers[32];
  auto* const dynamic = reinterpret_cast<std::uint32_t*>(kernels::dynamic_shared());
  for (std::uint32_t i = threadIdx.x; i < num_dynamic; i += 32) dynamic[i] = i;
  for (std::uint32_t i = threadIdx.x; i < num_static; i += 32) numbers[i] = i;
  to[threadIdx.x] = numbers[threadIdx.x] + dynamic[threadIdx.x];
}

void write_shared(std::uint32_t num_dynamic, std::uint32_t num_static) {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> to(queue, 32);
  const LaunchShape shape{.num_threads = 32, .shared_bytes = 256};
  queue.expect_ok(launch_in_order("write", write_beyond, shape, queue.get(), num_dynamic, num_static, to.data()));
}

TEST(OutOfBounds, AreFoundInSharedMemory) {
  write_shared(64, 32);
  EXPECT_FALSE(has_faults());
  if (!kChecksAccesses) {
    EXPECT_DEATH(write_shared(65, 32), "use-after-poison");
    EXPECT_DEATH(write_shared(64, 33), "global-buffer-overflow|index 32 out of bounds");
    return;
  }
  write_shared(65, 32);
  EXPECT_THAT(all_faults(), HasSubstr("beyond what was declared"));
  write_shared(64, 33);
  EXPECT_THAT(all_faults(), AnyOf(HasSubstr("beyond what was declared"), HasSubstr("not the device's")));
}

TEST_F(PlantedFaults, SharedMemoryThatNothingWroteIsFound) {
  write_shared(64, 31);
  EXPECT_THAT(all_faults(), HasSubstr("which nothing wrote"));
}

// Blocks write the same places of memory.
TEST_F(PlantedFaults, BlocksThatWriteTheSamePlaceAreFound) {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> from(queue, std::vector<std::uint32_t>(32, 7));
  const GpuArray<std::uint32_t> to(queue, 32);
  queue.expect_ok(launch_in_order("copy", copy_numbers, LaunchShape{.blocks = 2, .num_threads = 32}, queue.get(),
                                  static_cast<const std::uint32_t*>(from.data()), to.data(), 32U));
  EXPECT_THAT(all_faults(), HasSubstr("nothing orders the two"));
}

__global__ void meet_differently(std::uint32_t* to) {
  const std::uint32_t value = threadIdx.x % 2 == 0 ? __shfl_sync(0xFFFFFFFFU, threadIdx.x, 0) : 0;
  if (threadIdx.x % 2 == 1) __syncwarp();
  to[threadIdx.x] = value;
}

__global__ void wait_for_those_that_left(std::uint32_t* to) {
  if (threadIdx.x == 7) return;
  __syncwarp();
  to[threadIdx.x] = 1;
}

TEST(Deadlocks, AreFound) {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> to(queue, 32);
  queue.expect_ok(launch_in_order("meet", meet_differently, LaunchShape{}, queue.get(), to.data()));
  EXPECT_THAT(all_faults(), HasSubstr("while lanes of its warp wait at"));
  queue.expect_ok(launch_in_order("wait", wait_for_those_that_left, LaunchShape{}, queue.get(), to.data()));
  EXPECT_THAT(all_faults(), HasSubstr("31 threads (first 0) wait at __syncwarp, 1 have ended"));
}

// One thread fetches pieces into two places in turn, the others add them up.
template <bool kWaits, bool kSaysThatItIsFree>
__global__ void add_pieces(const std::uint32_t* from, std::uint32_t num_pieces, std::uint32_t* to) {
  constexpr std::uint32_t kPiece = 32;
  auto* const pieces = reinterpret_cast<std::uint32_t*>(kernels::dynamic_shared());
  const std::uint32_t barriers = kernels::shared_address(pieces + 2 * kPiece);  // two of arrival, two of free places
  if (threadIdx.x == 0) {
    for (std::uint32_t i = 0; i < 2; ++i) kernels::init_barrier(barriers + 8 * i, 1);
    for (std::uint32_t i = 2; i < 4; ++i) kernels::init_barrier(barriers + 8 * i, kPiece);
    kernels::publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x >= 32) {
    if (threadIdx.x > 32) return;
    for (std::uint32_t i = 0; i < num_pieces; ++i) {
      const std::uint32_t place = i % 2;
      // Else it waits for its own last copy only.
      if (i >= 2) kernels::wait_barrier(barriers + (kSaysThatItIsFree ? 16 : 0) + 8 * place, i / 2 % 2 ^ 1U);
      kernels::arrive_expecting(barriers + 8 * place, 4 * kPiece);
      kernels::copy_bulk(kernels::shared_address(pieces + place * kPiece), from + i * kPiece, 4 * kPiece,
                         barriers + 8 * place);
    }
    return;
  }
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < num_pieces; ++i) {
    const std::uint32_t place = i % 2;
    if (kWaits) kernels::wait_barrier(barriers + 8 * place, i / 2 % 2);
    sum += pieces[place * kPiece + threadIdx.x];
    kernels::arrive(barriers + 16 + 8 * place);
  }
  to[threadIdx.x] = sum;
}

template <bool kWaits, bool kSaysThatItIsFree>
std::vector<std::uint32_t> sums_of_pieces() {
  const GpuQueue queue;
  std::vector<std::uint32_t> numbers(32 * 7);
  std::iota(numbers.begin(), numbers.end(), 0U);
  const GpuArray<std::uint32_t> from(queue, numbers);
  const GpuArray<std::uint32_t> to(queue, 32);
  const LaunchShape shape{.num_threads = 64, .shared_bytes = 2 * 128 + 4 * 8};
  queue.expect_ok(launch_in_order("add", add_pieces<kWaits, kSaysThatItIsFree>, shape, queue.get(),
                                  static_cast<const std::uint32_t*>(from.data()), 7U, to.data()));
  return to.host();
}

TEST(BulkCopies, LandWhenTheirBarrierSaysSo) {
  const std::vector<std::uint32_t> sums = sums_of_pieces<true, true>();
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(sums[i], 7 * i + 32 * 21);
  EXPECT_FALSE(has_faults());
}

TEST_F(PlantedFaults, ARemovedWaitForABulkCopyIsFound) {
  std::string faults;  // of several orders of threads: in some the reader comes before the copy begins
  for (int run = 0; run < 20; ++run) {
    static_cast<void>(sums_of_pieces<false, true>());
    faults += all_faults();
  }
  EXPECT_THAT(faults, HasSubstr("has not been waited for"));
}

TEST_F(PlantedFaults, ABulkCopyOverWhatIsStillReadIsFound) {
  static_cast<void>(sums_of_pieces<true, false>());
  EXPECT_THAT(all_faults(), tells_of_disorder());
}

TEST(Launches, RefuseWhatTheDeviceDoesNotHave) {
  const GpuQueue queue;
  const GpuArray<std::uint32_t> to(queue, 32);
  const LaunchShape shape{.num_threads = 32, .shared_bytes = 64 << 10};
  EXPECT_FALSE(launch_in_order("write", write_beyond, shape, queue.get(), 64U, 32U, to.data()).ok());
  EXPECT_EQ(cudaFuncSetAttribute(write_beyond, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10), cudaSuccess);
  EXPECT_TRUE(launch_in_order("write", write_beyond, shape, queue.get(), 64U, 32U, to.data()).ok());
  EXPECT_NE(cudaFuncSetAttribute(write_beyond, cudaFuncAttributeMaxDynamicSharedMemorySize, 200 << 10), cudaSuccess);
}

}  // namespace
}  // namespace nvfp4

// The number formats on the device: for every one of the 2^32 floats our encoders against CUDA's conversions, every
// code of every format against the same function on the host, NVFP4 blocks and the 128x4 layout against the host.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/e8m0.h"
#include "formats/fp16.h"
#include "formats/nvfp4_block.h"
#include "layouts/scale_128x4.h"

namespace nvfp4 {
namespace {

constexpr int kSkipped = 77;  // what ctest takes for "not run here"

int num_passed = 0;
int num_failed = 0;

void expect(bool ok, const char* what, unsigned long long count, unsigned long long first) {
  if (ok) {
    ++num_passed;
    return;
  }
  ++num_failed;
  std::printf("FAILED %s: %llu differ, the first at %#llx\n", what, count, first);
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::printf("FAILED %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

struct Differences {
  unsigned long long count;
  unsigned long long first;
};

template <class Code, class Ours, class Theirs, class IsNan>
__device__ void compare(std::uint32_t bits, Ours ours, Theirs theirs, IsNan is_nan, Differences* out) {
  const Code a = ours;
  const Code b = theirs;
  if (a == b || (is_nan(a) && is_nan(b))) return;
  atomicAdd(&out->count, 1ULL);
  atomicMin(&out->first, static_cast<unsigned long long>(bits));
}

// out: [5] for E4M3 saturating, E4M3 with NaN, E2M1, BF16, FP16.
__global__ void encode_every_float(std::uint32_t first, Differences* out) {
  const std::uint32_t bits = first + blockIdx.x * blockDim.x + threadIdx.x;
  const float value = __uint_as_float(bits);
  const auto nan8 = [](std::uint8_t c) { return is_nan_e4m3(c); };
  compare<std::uint8_t>(bits, encode_e4m3_saturating(value), __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3),
                        nan8, &out[0]);
  compare<std::uint8_t>(bits, encode_e4m3_or_nan(value), __nv_cvt_float_to_fp8(value, __NV_NOSAT, __NV_E4M3), nan8,
                        &out[1]);
  compare<std::uint8_t>(
      bits, encode_e2m1(value), __nv_cvt_float_to_fp4(value, __NV_E2M1, cudaRoundNearest),
      [](std::uint8_t) { return false; }, &out[2]);
  compare<std::uint16_t>(
      bits, encode_bf16(value), __bfloat16_as_ushort(__float2bfloat16_rn(value)),
      [](std::uint16_t c) { return (c & 0x7FFFU) > 0x7F80U; }, &out[3]);
  compare<std::uint16_t>(
      bits, encode_fp16(value), __half_as_ushort(__float2half_rn(value)),
      [](std::uint16_t c) { return (c & 0x7FFFU) > 0x7C00U; }, &out[4]);
}

struct Decoded {
  std::uint32_t e2m1[16];
  std::uint32_t e4m3[256];
  std::uint32_t e8m0[256];
  std::uint32_t bf16[65536];
  std::uint32_t fp16[65536];
};

NVFP4_HD void decode_code(std::uint32_t code, Decoded& out) {
  if (code < 16) out.e2m1[code] = float_bits(decode_e2m1(static_cast<std::uint8_t>(code)));
  if (code < 256) {
    out.e4m3[code] = float_bits(decode_e4m3(static_cast<std::uint8_t>(code)));
    out.e8m0[code] = float_bits(decode_e8m0(static_cast<std::uint8_t>(code)));
  }
  out.bf16[code] = float_bits(decode_bf16(static_cast<std::uint16_t>(code)));
  out.fp16[code] = float_bits(decode_fp16(static_cast<std::uint16_t>(code)));
}

__global__ void decode_every_code(Decoded* out) { decode_code(blockIdx.x * blockDim.x + threadIdx.x, *out); }

struct Matrix {
  std::size_t rows;
  std::size_t k;
  float scale2;
  ScaleConvention convention;
};

NVFP4_HD float element(const Matrix& m, const std::uint8_t* codes, const std::uint8_t* scales, std::size_t row,
                       std::size_t k) {
  const float multiplier = block_multiplier(scales[row * (m.k / 16) + k / 16], m.scale2, m.convention);
  return decode_nvfp4(unpack_e2m1(codes + row * (m.k / 2), k), multiplier, m.convention);
}

__global__ void dequantize(Matrix m, const std::uint8_t* codes, const std::uint8_t* scales, float* out) {
  const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  if (i < m.rows * m.k) out[i] = element(m, codes, scales, i / m.k, i % m.k);
}

__global__ void swizzle(Scale128x4 layout, const std::uint8_t* linear, std::uint8_t* out) {
  const std::size_t byte = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  if (byte >= layout.size_bytes()) return;
  const Scale128x4::Position p = layout.position(byte);
  out[layout.offset(p.row, p.col)] = layout.is_padding(p) ? 0 : linear[p.row * layout.cols + p.col];
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    check(cudaMemcpy(data_, host.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "copy to the device");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }
  T* get() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> out(count_);
    check(cudaMemcpy(out.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy to the host");
    return out;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

void test_encoders() {
  const char* names[5] = {"E4M3 saturating", "E4M3 overflow to NaN", "E2M1", "BF16", "FP16"};
  DeviceArray<Differences> differences(std::vector<Differences>(5, {0, ~0ULL}));
  constexpr std::uint32_t kThreads = 256;
  constexpr std::uint32_t kBlocks = 1U << 20;
  for (std::uint64_t first = 0; first < (1ULL << 32); first += kThreads * static_cast<std::uint64_t>(kBlocks)) {
    encode_every_float<<<kBlocks, kThreads>>>(static_cast<std::uint32_t>(first), differences.get());
  }
  check(cudaDeviceSynchronize(), "encode_every_float");
  const auto found = differences.host();
  for (int i = 0; i < 5; ++i) expect(found[i].count == 0, names[i], found[i].count, found[i].first);
}

void test_decoders() {
  DeviceArray<Decoded> device(1);
  decode_every_code<<<256, 256>>>(device.get());
  check(cudaDeviceSynchronize(), "decode_every_code");
  const auto found = device.host();
  const auto expected = std::vector<Decoded>(1);
  for (std::uint32_t code = 0; code < 65536; ++code) decode_code(code, const_cast<Decoded&>(expected[0]));
  expect(std::memcmp(found.data(), expected.data(), sizeof(Decoded)) == 0, "decoders", 1, 0);
}

void test_blocks_and_layout() {
  std::mt19937_64 random(7);
  const auto bytes = [&](std::size_t n) {
    std::vector<std::uint8_t> out(n);
    for (auto& b : out) b = static_cast<std::uint8_t>(random());
    return out;
  };
  for (const Matrix& m :
       {Matrix{1, 16, 0.37F, ScaleConvention::kMultiplier}, Matrix{129, 176, 2688.0F / 3.3F, ScaleConvention::kDivisor},
        Matrix{300, 1856, 1e-40F, ScaleConvention::kMultiplier}}) {
    const auto codes = bytes(m.rows * m.k / 2);
    const auto scales = bytes(m.rows * m.k / 16);
    const DeviceArray<std::uint8_t> device_codes(codes);
    const DeviceArray<std::uint8_t> device_scales(scales);
    DeviceArray<float> out(m.rows * m.k);
    dequantize<<<static_cast<unsigned>((m.rows * m.k + 255) / 256), 256>>>(m, device_codes.get(), device_scales.get(),
                                                                           out.get());
    check(cudaDeviceSynchronize(), "dequantize");
    const auto found = out.host();
    unsigned long long differ = 0;
    unsigned long long first = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const float expected = element(m, codes.data(), scales.data(), i / m.k, i % m.k);
      const bool same = float_bits(found[i]) == float_bits(expected) || (found[i] != found[i] && expected != expected);
      if (!same && differ++ == 0) first = i;
    }
    expect(differ == 0, "NVFP4 blocks", differ, first);

    const Scale128x4 layout{m.rows, m.k / 16};
    DeviceArray<std::uint8_t> swizzled(layout.size_bytes());
    swizzle<<<static_cast<unsigned>((layout.size_bytes() + 255) / 256), 256>>>(layout, device_scales.get(),
                                                                               swizzled.get());
    check(cudaDeviceSynchronize(), "swizzle");
    std::vector<std::uint8_t> expected(layout.size_bytes());
    layout.swizzle(scales, expected);
    expect(swizzled.host() == expected, "128x4 layout", 1, 0);
  }
}

}  // namespace
}  // namespace nvfp4

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no CUDA device: not run\n");
    return nvfp4::kSkipped;
  }
  nvfp4::test_encoders();
  nvfp4::test_decoders();
  nvfp4::test_blocks_and_layout();
  std::printf("%d passed, %d failed\n", nvfp4::num_passed, nvfp4::num_failed);
  return nvfp4::num_failed == 0 ? 0 : 1;
}

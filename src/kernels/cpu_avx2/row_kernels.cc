#include "kernels/cpu_avx2/row_kernels.h"

#include "kernels/cpu_avx2/float_vector.h"
#include "kernels/cpu_shared/vector_attention.h"
#include "kernels/cpu_shared/vector_rows.h"

namespace nvfp4::kernels::cpu_avx2 {
namespace {

using Rows = VectorRows<FloatVector>;
using Attention = VectorAttention<FloatVector>;

constexpr RowKernels kKernels = {FloatVector::kNeeds, Rows::round_to_bf16, Rows::add,        Rows::accumulate,
                                 Rows::gated,         Rows::relu2,         Rows::rms_norm,   Rows::rotate,
                                 Rows::encode,        Attention::attend,   Attention::merge, Attention::finish};

}  // namespace

const RowKernels& row_kernels() { return kKernels; }

}  // namespace nvfp4::kernels::cpu_avx2

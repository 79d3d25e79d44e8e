// One instruction set's kernels for one element type: all headers of kernels/, compiled for GM_ISA and GM_REAL. The
// table is the only name that leaves this object; CI checks that.
#include "kernels/activate.hpp"
#include "kernels/backpropagate.hpp"
#include "kernels/batch_norm.hpp"
#include "kernels/dropout.hpp"
#include "kernels/evaluate.hpp"
#include "kernels/layer_norm.hpp"
#include "kernels/loss.hpp"
#include "kernels/matmul.hpp"
#include "kernels/moments.hpp"
#include "kernels/outer_product.hpp"
#include "kernels/pack.hpp"
#include "kernels/peak.hpp"
#include "kernels/residual.hpp"
#include "kernels/statistics.hpp"
#include "kernels/update.hpp"

#define GM_STRING_OF(x) #x
#define GM_STRING(x) GM_STRING_OF(x)

namespace gradiometer {

namespace unit = GM_ISA;
using Real = GM_REAL;

extern const KernelTable<Real> GM_TABLE;
constinit const KernelTable<Real> GM_TABLE = {
    .isa = GM_STRING(GM_ISA),
    .lanes = unit::kLanes<Real>,
    .panel = unit::kPanel<Real>,
    .forget_subnormals = unit::forget_subnormals,
    .matmul = unit::matmul<Real>,
    .matmul_transposed = unit::matmul_transposed<Real>,
    .outer_product = unit::outer_product<Real>,
    .pack_columns = unit::pack_columns<Real>,
    .pack_transposed = unit::pack_transposed<Real>,
    .unpack_transposed = unit::unpack_transposed<Real>,
    .activate = unit::activate<Real>,
    .dropout = unit::dropout<Real>,
    .backpropagate = unit::backpropagate<Real>,
    .batch_norm_group = unit::batch_norm_group<Real>,
    .batch_norm_merge = unit::batch_norm_merge<Real>,
    .batch_norm_apply = unit::batch_norm_apply<Real>,
    .batch_norm_backward_chunk = unit::batch_norm_backward_chunk<Real>,
    .sum_chunks = unit::sum_chunks<Real>,
    .batch_norm_backward_apply = unit::batch_norm_backward_apply<Real>,
    .layer_norm = unit::layer_norm<Real>,
    .layer_norm_backward = unit::layer_norm_backward<Real>,
    .residual = unit::residual<Real>,
    .cross_entropy = unit::cross_entropy<Real>,
    .bce_with_logits = unit::bce_with_logits<Real>,
    .mse = unit::mse<Real>,
    .row_chunk_squares = unit::row_chunk_squares<Real>,
    .column_sums = unit::column_sums<Real>,
    .column_squares = unit::column_squares<Real>,
    .column_statistics = unit::column_statistics<Real>,
    .sum_statistic = unit::sum_statistic<Real>,
    .first_nonfinite = unit::first_nonfinite<Real>,
    .activation_moments = unit::activation_moments<Real>,
    .dead_columns = unit::dead_columns<Real>,
    .update = unit::update<Real>,
    .fused_chains = unit::fused_chains<Real>,
    .evaluate = unit::evaluate<Real>,
};

}  // namespace gradiometer

// Activations of a matrix.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/tiny.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class Phi>
concept InGroups = Phi::kInGroups;

template <class Phi>
concept KinkedAtZero = requires(Phi phi) { phi.lines_at_zero(); };

template <class Phi>
concept SaysWhatIsNearZero = requires(Phi phi) { phi.near_zero; };

template <class Phi>
concept FallsToZero = requires(Phi phi) { phi.where_far_below(); };

template <class Phi, class T>
[[gnu::noinline]] static ValueAndSlope<T> at_and_far_below(const Phi& phi, Vec<T> z, Mask<T> is_far, FarBelow<T> far) {
    const ValueAndSlope<T> near = phi.at(select(is_far, zero<T>(), z));
    const ValueAndSlope<T> raised = phi.far_below(select(is_far, z, far.begin));
    return {select(is_far, lowered(raised.value), near.value), select(is_far, lowered(raised.slope), near.slope)};
}

// `makes_subnormals` becomes true where it does.
template <class Phi, class T>
GM_INLINE ValueAndSlope<T> at(const Phi& phi, Vec<T> z, bool& makes_subnormals) {
    if constexpr (FallsToZero<Phi>) {
        const FarBelow<T> far = phi.where_far_below();
        const Mask<T> is_far = (z < far.begin) & (z > far.end);
        if (any(is_far)) [[unlikely]] {
            makes_subnormals = true;
            return at_and_far_below(phi, z, is_far, far);
        }
    }
    return phi.at(z);
}

template <class T, class Phi>
GM_INLINE T limit_near_zero(const Phi& phi) {
    if constexpr (SaysWhatIsNearZero<Phi>)
        return phi.near_zero;
    else
        return kNearZero<T>;
}

template <class T, class Phi>
GM_INLINE LinesAtZero<T> lines_of(const Phi& phi) {
    if constexpr (KinkedAtZero<Phi>) {
        return phi.lines_at_zero();
    } else {
        const auto [value, slope] = phi.at(zero<T>());
        return {value, slope, slope};
    }
}

// Where all of z is near zero. The bits are those that phi.at gives.
template <class Phi, class T>
static void activate_near_zero(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride, T* h,
                               Index h_stride, T* derivative, Index derivative_stride) {
    const LinesAtZero<T> lines = lines_of<T>(phi);
    const auto each = [&](const auto& value) {
        for (Index r = 0; r < rows; ++r)
            for (Index j = 0; j < columns; j += kLanes<T>) {
                const Vec<T> x = load(z + r * z_stride + j);
                const Vec<T> slope = select(x > zero<T>(), lines.slope_above, lines.slope_below);
                store(h + r * h_stride + j, value(x, slope));
                if (derivative) store(derivative + r * derivative_stride + j, slope);
            }
    };
    const Vec<T> one = broadcast(T(1));
    if (any(lines.value != zero<T>()))
        each([&](Vec<T>, Vec<T>) { return lines.value; });
    else if (any((lines.slope_above != one) | (lines.slope_below != one)))
        each([](Vec<T> x, Vec<T> slope) { return lowered_product(raised(x), slope); });
    else
        each([](Vec<T> x, Vec<T>) { return x; });
}

template <class Phi, class T>
static void activate_rows(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride, T* h, Index h_stride,
                          T* derivative, Index derivative_stride) {
    bool makes_subnormals = false;
    for (Index r = 0; r < rows; ++r, z += z_stride, h += h_stride) {
        Index j = 0;
        if constexpr (InGroups<Phi>) {
            for (; j + kGroup * kLanes<T> <= columns; j += kGroup * kLanes<T>) {
                const auto out = phi.at(load_group(z + j));
                store(h + j, out.value);
                if (derivative) store(derivative + r * derivative_stride + j, out.slope);
            }
        }
        for (; j < columns; j += kLanes<T>) {
            const ValueAndSlope<T> out = at(phi, load(z + j), makes_subnormals);
            store(h + j, out.value);
            if (derivative) store(derivative + r * derivative_stride + j, out.slope);
        }
    }
    // The products that read them shall look before they multiply, not find out by it.
    if (makes_subnormals) remember_subnormals();
}

// Run by run of rows that are alike.
template <class Phi, class T>
[[gnu::noinline]] static void activate_alike(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride,
                                             T* h, Index h_stride, T* derivative, Index derivative_stride) {
    const T limit = limit_near_zero<T>(phi);
    for (Index begin = 0; begin < rows;) {
        const AlikeRows alike = alike_rows(begin, rows, rows, [&](Index r, Index count) {
            return static_cast<int>(tiny_chunk(count, columns, z + r * z_stride, z_stride, limit));
        });
        const auto activate = alike.kind ? activate_near_zero<Phi, T> : activate_rows<Phi, T>;
        activate(phi, alike.end - begin, columns, z + begin * z_stride, z_stride, h + begin * h_stride, h_stride,
                 derivative ? derivative + begin * derivative_stride : nullptr, derivative_stride);
        begin = alike.end;
    }
}

template <class Phi, class T>
static void activate_with(ActivationSpec spec, Index rows, Index columns, const T* z, Index z_stride, T* h,
                          Index h_stride, T* derivative, Index derivative_stride) {
    const Phi phi(spec);
    if constexpr (SmoothAtZero<Phi> || KinkedAtZero<Phi>) {
        if (!all_begin_from(limit_near_zero<T>(phi), rows, columns, z, z_stride))
            return activate_alike(phi, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
    }
    activate_rows(phi, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
}

template <class T>
void activate(ActivationSpec spec, Index rows, Index columns, const T* z, Index z_stride, T* h, Index h_stride,
              T* derivative, Index derivative_stride) {
#define GM_CASE(kind, Phi)     \
    case ActivationKind::kind: \
        return activate_with<Phi<T>>(spec, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
    switch (spec.kind) {
        GM_CASE(identity, Identity)
        GM_CASE(relu, Relu)
        GM_CASE(leaky_relu, LeakyRelu)
        GM_CASE(elu, Elu)
        GM_CASE(selu, Elu)
        GM_CASE(gelu, Gelu)
        GM_CASE(gelu_tanh, GeluTanh)
        GM_CASE(silu, Silu)
        GM_CASE(mish, Mish)
        GM_CASE(softplus, Softplus)
        GM_CASE(softsign, Softsign)
        GM_CASE(sigmoid, Sigmoid)
        GM_CASE(tanh, Tanh)
        GM_CASE(hardtanh, Hardtanh)
        GM_CASE(hardswish, Hardswish)
    }
#undef GM_CASE
}

}  // namespace
}  // namespace gradiometer::GM_ISA

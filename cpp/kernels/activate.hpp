// Activations of a matrix.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/tiny.hpp"
#include "simd/group.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class Phi>
concept InGroups = Phi::kInGroups;

template <class Phi>
concept KinkedAtZero = requires(Phi phi) { phi.lines_at_zero(); };

template <class Phi>
concept SaysWhatIsNearZero = requires(Phi phi) { phi.near_zero; };

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
            const ValueAndSlope<T> out = phi.at(load(z + j));
            store(h + j, out.value);
            if (derivative) store(derivative + r * derivative_stride + j, out.slope);
        }
    }
}

// Whether some of z are far below zero. (Minima in four chains: one would wait for itself.)
template <class Phi, class T>
static bool reaches_far_below(Index rows, Index columns, const T* z, Index stride) {
    Group<Vec<T>> lowest = constant_of<Group<Vec<T>>>(0);
    for (Index r = 0; r < rows; ++r, z += stride) {
        Index j = 0;
        for (; j + kGroup * kLanes<T> <= columns; j += kGroup * kLanes<T>) lowest = min(load_group(z + j), lowest);
        for (; j < columns; j += kLanes<T>) lowest.part[0] = min(load(z + j), lowest.part[0]);
    }
    for (int i = 1; i < kGroup; ++i) lowest.part[0] = min(lowest.part[i], lowest.part[0]);
    return any(lowest.part[0] < Phi::far_begin());
}

// Where some of z are far below zero.
template <class Phi, class T>
static void activate_far_below(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride, T* h,
                               Index h_stride, T* derivative, Index derivative_stride) {
    bool makes_subnormals = false;
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> x = load(z + r * z_stride + j);
            const Mask<T> is_below = x < phi.far_begin();
            const Mask<T> is_far = is_below & (x > phi.far_end());
            const ValueAndSlope<T> near = phi.at(select(is_below, zero<T>(), x)), end = phi.at_end(x);
            Vec<T> value = select(is_below, end.value, near.value), slope = select(is_below, end.slope, near.slope);
            if (any(is_far)) {
                makes_subnormals = true;
                const ValueAndSlope<T> raised = phi.far_below(select(is_far, x, phi.far_begin()));
                value = select(is_far, lowered(raised.value), value);
                slope = select(is_far, lowered(raised.slope), slope);
            }
            store(h + r * h_stride + j, value);
            if (derivative) store(derivative + r * derivative_stride + j, slope);
        }
    // The products that read them shall look before they multiply, not find out by it.
    if (makes_subnormals) remember_subnormals();
}

enum Region { elsewhere, near_zero, far_below };

template <class Phi, class T>
static Region region_of(const Phi& phi, Index rows, Index columns, const T* z, Index stride) {
    if constexpr (SmoothAtZero<Phi> || KinkedAtZero<Phi>)
        if (tiny_chunk(rows, columns, z, stride, limit_near_zero<T>(phi))) return near_zero;
    if constexpr (FallsToZero<Phi>)
        if (reaches_far_below<Phi>(rows, columns, z, stride)) return far_below;
    return elsewhere;
}

// Run by run of rows that are in the same region.
template <class Phi, class T>
[[gnu::noinline]] static void activate_alike(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride,
                                             T* h, Index h_stride, T* derivative, Index derivative_stride) {
    for (Index begin = 0; begin < rows;) {
        const AlikeRows alike = alike_rows(begin, rows, rows, [&](Index r, Index count) {
            return static_cast<int>(region_of(phi, count, columns, z + r * z_stride, z_stride));
        });
        auto activate = activate_rows<Phi, T>;
        if constexpr (SmoothAtZero<Phi> || KinkedAtZero<Phi>)
            if (alike.kind == near_zero) activate = activate_near_zero<Phi, T>;
        if constexpr (FallsToZero<Phi>)
            if (alike.kind == far_below) activate = activate_far_below<Phi, T>;
        activate(phi, alike.end - begin, columns, z + begin * z_stride, z_stride, h + begin * h_stride, h_stride,
                 derivative ? derivative + begin * derivative_stride : nullptr, derivative_stride);
        begin = alike.end;
    }
}

template <class Phi, class T>
static void activate_with(ActivationSpec spec, Index rows, Index columns, const T* z, Index z_stride, T* h,
                          Index h_stride, T* derivative, Index derivative_stride) {
    const Phi phi(spec);
    bool plain = true;
    if constexpr (SmoothAtZero<Phi> || KinkedAtZero<Phi>)
        plain = all_begin_from(limit_near_zero<T>(phi), rows, columns, z, z_stride);
    if constexpr (FallsToZero<Phi>) plain = plain && !reaches_far_below<Phi>(rows, columns, z, z_stride);
    const auto activate = plain ? activate_rows<Phi, T> : activate_alike<Phi, T>;
    activate(phi, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
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

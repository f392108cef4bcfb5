// The poolings of one channel and their gradients: 3x3 of stride 1 or 2, and the 2x2 that halves bypassed channels.
//
// The plain equivalents are `F.max_pool2d` and `F.avg_pool2d(count_include_pad=False)`; planes here have no border.
#pragma once

#include "lanes.h"

namespace pcdarts {

struct Window {
    Index top, bottom, left, right;  // [top, bottom) x [left, right), inside the map
    Index count() const { return (bottom - top) * (right - left); }
};

inline Window window_3x3(Index y, Index x, Index stride, Index height, Index width) {
    return {std::max<Index>(y * stride - 1, 0), std::min(y * stride + 2, height), std::max<Index>(x * stride - 1, 0),
            std::min(x * stride + 2, width)};
}

inline Window window_2x2(Index y, Index x, Index height, Index width) {
    return {2 * y, std::min(2 * y + 2, height), 2 * x, std::min(2 * x + 2, width)};
}

template <class T> inline Lanes<T> largest(const T* plane, Index width, const Window& window) {
    Lanes<T> best = load(plane + (window.top * width + window.left) * LANES);
    for (Index y = window.top; y < window.bottom; ++y)
        for (Index x = window.left; x < window.right; ++x) {
            const Lanes<T> value = load(plane + (y * width + x) * LANES);
            best = (value > best) | (value != value) ? value : best;  // NaN wins, as in PyTorch
        }
    return best;
}

template <class T> inline Lanes<T> average(const T* plane, Index width, const Window& window) {
    Lanes<T> total = zero<T>();
    for (Index y = window.top; y < window.bottom; ++y)
        for (Index x = window.left; x < window.right; ++x) total += load(plane + (y * width + x) * LANES);
    return total * (T(1) / T(window.count()));
}

// Give the gradient to the first pixel of the window, in reading order, that holds the maximum.
template <class T> inline void largest_gradient(const T* plane, T* gradient, Index width, const Window& window,
                                                Lanes<T> best, Lanes<T> grad) {
    for (Index y = window.top; y < window.bottom; ++y)
        for (Index x = window.left; x < window.right; ++x) {
            const Index pixel = (y * width + x) * LANES;
            const auto here = load(plane + pixel) == best;
            store(gradient + pixel, load(gradient + pixel) + (here ? grad : zero<T>()));
            grad = here ? zero<T>() : grad;
        }
}

template <class T> inline void average_gradient(T* gradient, Index width, const Window& window, Lanes<T> grad) {
    grad *= T(1) / T(window.count());
    for (Index y = window.top; y < window.bottom; ++y)
        for (Index x = window.left; x < window.right; ++x) {
            const Index pixel = (y * width + x) * LANES;
            store(gradient + pixel, load(gradient + pixel) + grad);
        }
}

}  // namespace pcdarts

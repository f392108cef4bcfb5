// Depthwise convolution of one channel, its two gradients, for 3x3 and 5x5 kernels of dilation 1 and 2.
//
// The plain equivalent is pcdarts/cell/depthwise.py. Inputs and output gradients are padded planes (lanes.h); `in` and
// `grad` point at pixel (0, 0) inside the border. A pixel costs one multiply-add per tap, with the weight in all lanes.
#pragma once

#include "lanes.h"

namespace pcdarts {

// COUNT neighbouring pixels of a row at once, for as many independent chains of additions.
template <class T, int SIZE, int DILATION, int COUNT>
inline void convolve_pixels(const T* in, Index row, Index step, const T* weight, Lanes<T>* out) {
    for (int pixel = 0; pixel < COUNT; ++pixel) out[pixel] = zero<T>();
    constexpr Index reach = DILATION * (SIZE / 2);
#pragma GCC unroll 5
    for (int ky = 0; ky < SIZE; ++ky)
#pragma GCC unroll 5
        for (int kx = 0; kx < SIZE; ++kx) {
            const T* tap = in + (ky * DILATION - reach) * row + (kx * DILATION - reach) * LANES;
#pragma GCC unroll 4
            for (int pixel = 0; pixel < COUNT; ++pixel) out[pixel] += weight[ky * SIZE + kx] * load(tap + pixel * step);
        }
}

// out [height, width] from the padded plane `in`; `emit(y, x, value)` takes each pixel. Row length and stride of `in`.
template <class T, int SIZE, int DILATION, class Emit>
inline void convolve(const T* in, Index row, Index stride, const T* weight, Index height, Index width, Emit emit) {
    const Index step = stride * LANES;
    Lanes<T> out[4];
    for (Index y = 0; y < height; ++y) {
        const T* line = in + y * stride * row;
        Index x = 0;
        for (; x + 4 <= width; x += 4) {
            convolve_pixels<T, SIZE, DILATION, 4>(line + x * step, row, step, weight, out);
            for (int pixel = 0; pixel < 4; ++pixel) emit(y, x + pixel, out[pixel]);
        }
        for (; x < width; ++x) {
            convolve_pixels<T, SIZE, DILATION, 1>(line + x * step, row, step, weight, out);
            emit(y, x, out[0]);
        }
    }
}

// Add to weight_gradient [SIZE, SIZE] what the output gradient `grad` [height, width] of `convolve(in, ...)` gives.
template <class T, int SIZE, int DILATION> inline void weight_gradient(const T* in, Index row, Index stride,
                                                                       const T* grad, Index grad_row, Index height,
                                                                       Index width, T* result) {
    constexpr Index reach = DILATION * (SIZE / 2);
    Lanes<T> total[SIZE * SIZE];
    for (auto& value : total) value = zero<T>();
    for (Index y = 0; y < height; ++y)
        for (Index x = 0; x < width; ++x) {
            const Lanes<T> g = load(grad + y * grad_row + x * LANES);
            const T* pixel = in + (y * row + x * LANES) * stride;
#pragma GCC unroll 5
            for (int ky = 0; ky < SIZE; ++ky)
#pragma GCC unroll 5
                for (int kx = 0; kx < SIZE; ++kx)
                    total[ky * SIZE + kx] +=
                        g * load(pixel + (ky * DILATION - reach) * row + (kx * DILATION - reach) * LANES);
        }
    for (int tap = 0; tap < SIZE * SIZE; ++tap) result[tap] += sum<T>(total[tap]);
}

// Add to the padded plane `in_gradient` what the padded output gradient `grad` [height, width] gives.
template <class T, int SIZE, int DILATION> inline void input_gradient(T* in_gradient, Index row, Index stride,
                                                                      const T* grad, Index grad_row, const T* weight,
                                                                      Index height, Index width) {
    if (stride == 1) {  // a convolution with the kernel turned by 180 degrees
        T turned[SIZE * SIZE];
        std::reverse_copy(weight, weight + SIZE * SIZE, turned);
        convolve<T, SIZE, DILATION>(grad, grad_row, 1, turned, height, width, [&](Index y, Index x, Lanes<T> value) {
            T* target = in_gradient + y * row + x * LANES;
            store(target, load(target) + value);
        });
        return;
    }
    constexpr Index reach = DILATION * (SIZE / 2);
    for (Index y = 0; y < height; ++y)
        for (Index x = 0; x < width; ++x) {
            const Lanes<T> g = load(grad + y * grad_row + x * LANES);
            T* pixel = in_gradient + (y * row + x * LANES) * stride;
            for (int ky = 0; ky < SIZE; ++ky)
                for (int kx = 0; kx < SIZE; ++kx) {
                    T* target = pixel + (ky * DILATION - reach) * row + (kx * DILATION - reach) * LANES;
                    store(target, load(target) + weight[ky * SIZE + kx] * g);
                }
        }
}

}  // namespace pcdarts

// Depthwise convolution of one channel, its two gradients, for 3x3 and 5x5 kernels of dilation 1 and 2.
//
// The plain equivalent is pcdarts/ops/depthwise.py. Inputs and output gradients are padded planes (lanes.h); `in` and
// `grad` point at pixel (0, 0) inside the border. A pixel costs one multiply-add per tap, with the weight in all lanes.
#pragma once

#include "lanes.h"

namespace pcdarts {

// COUNT neighbouring pixels of a row at once. Every input is loaded once for all taps of a row of the kernel.
template <class T, int SIZE, int DILATION, int STRIDE, int COUNT>
inline void convolve_pixels(const T* in, Index row, const T* weight, Lanes<T>* out) {
    constexpr int reach = DILATION * (SIZE / 2), inputs = (COUNT - 1) * STRIDE + (SIZE - 1) * DILATION + 1;
    read_anew(weight);
#pragma GCC unroll 8
    for (int pixel = 0; pixel < COUNT; ++pixel) out[pixel] = zero<T>();
#pragma GCC unroll 5
    for (int ky = 0; ky < SIZE; ++ky) {
        const T* line = in + (ky * DILATION - reach) * row - reach * LANES;
        Lanes<T> weights[SIZE];
#pragma GCC unroll 5
        for (int kx = 0; kx < SIZE; ++kx) weights[kx] = broadcast(weight[ky * SIZE + kx]);
#pragma GCC unroll 32
        for (int at = 0; at < inputs; ++at) {
            const Lanes<T> value = load(line + at * LANES);
#pragma GCC unroll 5
            for (int kx = 0; kx < SIZE; ++kx) {
                const int from = at - kx * DILATION;
                if (from >= 0 && from % STRIDE == 0 && from / STRIDE < COUNT) out[from / STRIDE] += weights[kx] * value;
            }
        }
    }
}

template <class T, int SIZE, int DILATION, int STRIDE, int COUNT, class Emit>
[[gnu::always_inline]] inline Index convolve_run(const T* line, Index row, const T* weight, Index y, Index x,
                                                 Index width, Emit& emit) {
    Lanes<T> out[COUNT];
    for (; x + COUNT <= width; x += COUNT) {
        convolve_pixels<T, SIZE, DILATION, STRIDE, COUNT>(line + x * STRIDE * LANES, row, weight, out);
#pragma GCC unroll 8
        for (int pixel = 0; pixel < COUNT; ++pixel) emit(y, x + pixel, out[pixel]);
    }
    return x;
}

// out [height, width] from the padded plane `in`, whose rows are `row` apart; `emit(y, x, value)` takes each pixel.
// Inlined, so that what `emit` adds up stays in registers.
template <class T, int SIZE, int DILATION, int STRIDE = 1, class Emit>
[[gnu::always_inline]] inline void convolve(const T* in, Index row, const T* weight, Index height, Index width,
                                            Emit emit) {
    for (Index y = 0; y < height; ++y) {
        const T* line = in + y * STRIDE * row;
        Index x = 0;
        if constexpr (RUN<T> > 1) {
            x = convolve_run<T, SIZE, DILATION, STRIDE, RUN<T>>(line, row, weight, y, x, width, emit);
            x = convolve_run<T, SIZE, DILATION, STRIDE, RUN<T> / 2>(line, row, weight, y, x, width, emit);
        }
        convolve_run<T, SIZE, DILATION, STRIDE, 1>(line, row, weight, y, x, width, emit);
    }
}

// Add to weight_gradient [SIZE, SIZE] what the output gradient `grad` [height, width] of `convolve(in, ...)` gives.
template <class T, int SIZE, int DILATION, int FIRST_ROW = 0>
inline void weight_gradient(const T* in, Index row, Index stride, const T* grad, Index grad_row, Index height,
                            Index width, T* result) {
    constexpr int rows = std::min(gradient_rows_at_once<T>(SIZE), SIZE - FIRST_ROW);
    constexpr Index reach = DILATION * (SIZE / 2);
    Lanes<T> total[rows * SIZE];
#pragma GCC unroll 25
    for (int tap = 0; tap < rows * SIZE; ++tap) total[tap] = zero<T>();
    for (Index y = 0; y < height; ++y)
        for (Index x = 0; x < width; ++x) {
            read_anew(in);
            const Lanes<T> g = load(grad + y * grad_row + x * LANES);
            const T* pixel = in + (y * row + x * LANES) * stride;
#pragma GCC unroll 5
            for (int ky = 0; ky < rows; ++ky)
#pragma GCC unroll 5
                for (int kx = 0; kx < SIZE; ++kx)
                    total[ky * SIZE + kx] +=
                        g * load(pixel + ((FIRST_ROW + ky) * DILATION - reach) * row + (kx * DILATION - reach) * LANES);
        }
#pragma GCC unroll 25
    for (int tap = 0; tap < rows * SIZE; ++tap) result[FIRST_ROW * SIZE + tap] += sum<T>(total[tap]);
    if constexpr (FIRST_ROW + rows < SIZE)
        weight_gradient<T, SIZE, DILATION, FIRST_ROW + rows>(in, row, stride, grad, grad_row, height, width, result);
}

// Add to the padded plane `in_gradient` what the padded output gradient `grad` [height, width] gives.
template <class T, int SIZE, int DILATION> inline void input_gradient(T* in_gradient, Index row, Index stride,
                                                                      const T* grad, Index grad_row, const T* weight,
                                                                      Index height, Index width) {
    if (stride == 1) {  // a convolution with the kernel turned by 180 degrees
        T turned[SIZE * SIZE];
        std::reverse_copy(weight, weight + SIZE * SIZE, turned);
        convolve<T, SIZE, DILATION>(grad, grad_row, turned, height, width, [&](Index y, Index x, Lanes<T> value) {
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

// 1x1 convolutions and their gradients, as products of a small matrix with planes.
//
// `combine` is a 1x1 convolution: out_i = Σ_j matrix_ij plane_j + bias_i at every pixel. `products` is its weight
// gradient, and with rows = columns the second moments that BatchNorm is folded from: result_ij = Σ_pixels row_i col_j.
// Both hold a tile of vectors in registers (lanes.h).
#pragma once

#include "lanes.h"

namespace pcdarts {

// Rows of the matrix [ROWS, count] of leading dimension `stride` times `count` planes, at COUNT neighbouring pixels.
template <class T, int ROWS, int COUNT, class Emit>
inline void combine_tile(const T* const* planes, Index count, const T* matrix, Index stride, const T* bias,
                         Index offset, Index first_row, Emit emit) {
    Lanes<T> total[ROWS][COUNT];
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int pixel = 0; pixel < COUNT; ++pixel) total[row][pixel] = broadcast(bias[row]);
    for (Index column = 0; column < count; ++column) {
        Lanes<T> value[COUNT];
#pragma GCC unroll 4
        for (int pixel = 0; pixel < COUNT; ++pixel) value[pixel] = load(planes[column] + offset + pixel * LANES);
#pragma GCC unroll 4
        for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
            for (int pixel = 0; pixel < COUNT; ++pixel)
                total[row][pixel] += matrix[row * stride + column] * value[pixel];
    }
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int pixel = 0; pixel < COUNT; ++pixel) emit(first_row + row, pixel, total[row][pixel]);
}

template <class T, int COUNT, class Emit> inline void combine_rows(const T* const* planes, Index count, const T* matrix,
                                                                   Index stride, const T* bias, Index offset,
                                                                   Index rows, Emit emit) {
    Index row = 0;
    for (; row + TILE_ROWS <= rows; row += TILE_ROWS)
        combine_tile<T, TILE_ROWS, COUNT>(planes, count, matrix + row * stride, stride, bias + row, offset, row, emit);
    for (; row < rows; ++row)
        combine_tile<T, 1, COUNT>(planes, count, matrix + row * stride, stride, bias + row, offset, row, emit);
}

template <int COUNT, class T, class Emit> inline void combine_from(const T* const* planes, Index count, const T* matrix,
                                                                   Index stride, const T* bias, Index rows, Index first,
                                                                   Index last, Emit emit) {
    for (; first + COUNT <= last; first += COUNT)
        combine_rows<T, COUNT>(planes, count, matrix, stride, bias, first * LANES, rows,
                               [&](Index row, Index pixel, Lanes<T> value) { emit(row, first + pixel, value); });
    if constexpr (COUNT > 1) combine_from<COUNT / 2>(planes, count, matrix, stride, bias, rows, first, last, emit);
}

// For the pixels [first, last) of the planes and each of `rows` rows of the matrix: `emit(row, pixel, value)`.
template <class T, class Emit> inline void combine(const T* const* planes, Index count, const T* matrix, Index stride,
                                                   const T* bias, Index rows, Index first, Index last, Emit emit) {
    combine_from<TILE_COLUMNS<T>>(planes, count, matrix, stride, bias, rows, first, last, emit);
}

template <class T, int ROWS, int COLUMNS> inline void products_tile(const T* const* rows, const T* const* columns,
                                                                    Index first, Index last, T* result, Index stride) {
    Lanes<T> total[ROWS][COLUMNS];
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int column = 0; column < COLUMNS; ++column) total[row][column] = zero<T>();
    for (Index offset = first * LANES; offset < last * LANES; offset += LANES) {
        Lanes<T> right[COLUMNS];
#pragma GCC unroll 4
        for (int column = 0; column < COLUMNS; ++column) right[column] = load(columns[column] + offset);
#pragma GCC unroll 4
        for (int row = 0; row < ROWS; ++row) {
            const Lanes<T> left = load(rows[row] + offset);
#pragma GCC unroll 4
            for (int column = 0; column < COLUMNS; ++column) total[row][column] += left * right[column];
        }
    }
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int column = 0; column < COLUMNS; ++column) result[row * stride + column] += sum<T>(total[row][column]);
}

// ROWS rows against all columns, from COLUMNS of them at once down to one.
template <int ROWS, int COLUMNS, class T> inline void products_rows(const T* const* rows, const T* const* columns,
                                                                    Index column_count, Index first, Index last,
                                                                    T* result, Index stride) {
    Index column = 0;
    for (; column + COLUMNS <= column_count; column += COLUMNS)
        products_tile<T, ROWS, COLUMNS>(rows, columns + column, first, last, result + column, stride);
    if constexpr (COLUMNS > 1)
        products_rows<ROWS, COLUMNS / 2>(rows, columns + column, column_count - column, first, last, result + column,
                                         stride);
}

// Add Σ_pixels row_i column_j over the pixels [first, last) to result [row_count, column_count].
template <class T> inline void products(const T* const* rows, Index row_count, const T* const* columns,
                                        Index column_count, Index first, Index last, T* result, Index stride) {
    Index row = 0;
    for (; row + TILE_ROWS <= row_count; row += TILE_ROWS)
        products_rows<TILE_ROWS, TILE_COLUMNS<T>>(rows + row, columns, column_count, first, last, result + row * stride,
                                                  stride);
    for (; row < row_count; ++row)
        products_rows<1, TILE_COLUMNS<T>>(rows + row, columns, column_count, first, last, result + row * stride,
                                          stride);
}

// to = constant + Σ_k weight_k plane_k over the vectors [first, last); `to` may be one of the planes.
template <class T> inline void weighted_sum(const std::vector<const T*>& planes, const std::vector<T>& weights,
                                            T constant, Index first, Index last, T* to) {
    const Index count = planes.size();
    Index at = first * LANES;
    for (; at + 4 * LANES <= last * LANES; at += 4 * LANES) {
        Lanes<T> total[4];
        for (Lanes<T>& value : total) value = zero<T>() + constant;
        for (Index k = 0; k < count; ++k)
#pragma GCC unroll 4
            for (int pixel = 0; pixel < 4; ++pixel) total[pixel] += weights[k] * load(planes[k] + at + pixel * LANES);
        for (int pixel = 0; pixel < 4; ++pixel) store(to + at + pixel * LANES, total[pixel]);
    }
    for (; at < last * LANES; at += LANES) {
        Lanes<T> total = zero<T>() + constant;
        for (Index k = 0; k < count; ++k) total += weights[k] * load(planes[k] + at);
        store(to + at, total);
    }
}

template <class T> inline T plane_sum(const T* plane, Index first, Index last) {
    Lanes<T> total = zero<T>();
    for (Index pixel = first; pixel < last; ++pixel) total += load(plane + pixel * LANES);
    return sum<T>(total);
}

template <class T> inline T plane_dot(const T* left, const T* right, Index first, Index last) {
    Lanes<T> total[2] = {zero<T>(), zero<T>()};
    for (Index pixel = first; pixel < last; ++pixel)
        total[pixel % 2] += load(left + pixel * LANES) * load(right + pixel * LANES);
    return sum<T>(total[0] + total[1]);
}

}  // namespace pcdarts

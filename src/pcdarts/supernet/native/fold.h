// A 1x1 convolution and the BatchNorm after it as one affine map, and the gradients of that map. docs/fast-supernet.md
// derives the formulas; pcdarts/supernet/plain/fold.py is the plain equivalent.
//
// d [columns] is the input at a pixel, P [rows, columns] the 1x1 convolution, m the mean of d and S its covariance over
// all n pixels of the batch: BatchNorm(P d) = A d + b with A = diag(r) P, b = -A m, r_i = 1 / sqrt(p_i S p_i + ε).
#pragma once

#include <cmath>

#include "lanes.h"

namespace pcdarts {

constexpr double EPSILON = 1e-5, MOMENTUM = 0.1;  // as in edges.py

// What is kept of one fold for its gradients.
template <class T> struct Fold {
    T *mean, *covariance, *scale, *matrix, *bias;  // m [columns], S [columns, columns], r [rows], A [rows, columns], b

    static Index size(Index rows, Index columns) { return columns + columns * columns + rows + rows * columns + rows; }
    static Fold at(T* memory, Index rows, Index columns) {
        T* covariance = memory + columns;
        T* scale = covariance + columns * columns;
        T* matrix = scale + rows;
        return {memory, covariance, scale, matrix, matrix + rows * columns};
    }
};

// How BatchNorm updates its running statistics: lerp towards the batch's mean and unbiased variance.
template <class T> inline void remember(T& running_mean, T& running_var, double mean, double variance, double count) {
    running_mean += T(MOMENTUM) * (T(mean) - running_mean);
    running_var += T(MOMENTUM) * (T(variance * count / std::max(count - 1, 1.0)) - running_var);
}

// spread [columns] = S row, in double precision; S is symmetric, so its columns are its rows.
template <class T> inline void spread_row(const Fold<T>& fold, const T* row, Index columns, double* spread) {
    std::fill(spread, spread + columns, 0.0);
    for (Index k = 0; k < columns; ++k) {
        const double factor = row[k];
        const T* line = fold.covariance + k * columns;
#pragma omp simd
        for (Index j = 0; j < columns; ++j) spread[j] += factor * double(line[j]);
    }
}

// Fill `fold` from its mean and covariance, which are set; updates the running statistics [rows].
template <class T> inline void fold_batch(const Fold<T>& fold, const T* weight, Index rows, Index columns, double count,
                                          T* running_mean, T* running_var) {
    std::vector<double> spread(columns);
    for (Index i = 0; i < rows; ++i) {
        const T* p = weight + i * columns;
        spread_row(fold, p, columns, spread.data());
        double mean = 0, variance = 0;
        for (Index j = 0; j < columns; ++j) {
            variance += spread[j] * p[j];
            mean += double(p[j]) * fold.mean[j];
        }
        variance = std::max(variance, 0.0);
        const double scale = 1 / std::sqrt(variance + EPSILON);
        for (Index j = 0; j < columns; ++j) fold.matrix[i * columns + j] = T(scale * p[j]);
        fold.scale[i] = T(scale);
        fold.bias[i] = T(-scale * mean);
        remember(running_mean[i], running_var[i], mean, variance, count);
    }
}

// The same in evaluation mode, from the running statistics.
template <class T> inline void fold_running(const Fold<T>& fold, const T* weight, Index rows, Index columns,
                                            const T* running_mean, const T* running_var) {
    for (Index i = 0; i < rows; ++i) {
        const double scale = 1 / std::sqrt(double(running_var[i]) + EPSILON);
        for (Index j = 0; j < columns; ++j) fold.matrix[i * columns + j] = T(scale * weight[i * columns + j]);
        fold.scale[i] = T(scale);
        fold.bias[i] = T(-scale * running_mean[i]);
    }
}

// From products [rows, columns] = Σ g d and sums [rows] = Σ g over the n pixels, g being the gradient of A d + b: the
// gradient of P is written to weight_gradient, and grad d = Aᵀ g + Q d + u with `quadratic` Q and `constant` u.
template <class T> inline void fold_gradient(const Fold<T>& fold, Index rows, Index columns, double count,
                                             bool training, const double* products, const double* sums,
                                             T* weight_gradient, T* quadratic, T* constant) {
    std::fill(quadratic, quadratic + columns * columns, T(0));
    std::fill(constant, constant + columns, T(0));
    std::vector<double> spread(columns);
    for (Index i = 0; i < rows; ++i) {
        const T* a = fold.matrix + i * columns;
        const double scale = fold.scale[i];
        double along = double(fold.bias[i]) * sums[i];
        for (Index j = 0; j < columns; ++j) along += double(a[j]) * products[i * columns + j];
        const double mean = training ? sums[i] / count : 0, slope = training ? along / count : 0;
        if (training) spread_row(fold, a, columns, spread.data());
        for (Index j = 0; j < columns && weight_gradient != nullptr; ++j) {
            const double centred = training ? mean * fold.mean[j] + slope * spread[j] : 0;
            weight_gradient[i * columns + j] = T(scale * (products[i * columns + j] - count * centred));
        }
        for (Index j = 0; j < columns && training; ++j) {
            constant[j] -= T(a[j] * (mean + slope * fold.bias[i]));
            const T factor = T(slope * a[j]);
            T* line = quadratic + j * columns;
#pragma omp simd
            for (Index k = 0; k < columns; ++k) line[k] -= factor * a[k];
        }
    }
}

}  // namespace pcdarts

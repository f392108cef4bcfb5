// Every kernel against loops that anybody can check, without Python: one line for each, "depthwise float32 right" or what
// is wrong by how much. Compile it with the headers' folder on the include path and the flags of the processor in
// question, and run it there or in an emulator.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "depthwise.h"
#include "findings.h"
#include "fold.h"
#include "pooling.h"
#include "products.h"

using namespace pcdarts;

namespace {

// LANES maps [height, width], one for each image of a block, as kernels take them and one number at a time.
template <class T> struct Maps {
    Index height, width, border;  // zeros around each map
    struct Pixel {
        Lanes<T> lanes = zero<T>();
    };
    std::vector<Pixel> pixels;

    Maps(Index height, Index width, Index border = 0)
        : height(height), width(width), border(border), pixels((height + 2 * border) * (width + 2 * border)) {}
    static Maps drawn(Index height, Index width, Index border = 0) {
        Maps maps(height, width, border);
        for (Index y = 0; y < height; ++y)
            for (Index x = 0; x < width; ++x)
                for (Index lane = 0; lane < LANES; ++lane) maps.lanes(y, x)[lane] = draw<T>();
        return maps;
    }
    Lanes<T>& lanes(Index y, Index x) { return pixels[(y + border) * (width + 2 * border) + x + border].lanes; }
    // Zero outside of the map.
    T at(Index lane, Index y, Index x) const {
        if (y < 0 || x < 0 || y >= height || x >= width) return T(0);
        return pixels[(y + border) * (width + 2 * border) + x + border].lanes[lane];
    }
    T* data() { return reinterpret_cast<T*>(pixels.data()); }
    T* start() { return reinterpret_cast<T*>(&lanes(0, 0)); }
    Index row() const { return (width + 2 * border) * LANES; }
};

template <class T, int SIZE, int DILATION, int STRIDE> void depthwise(Findings& findings) {
    const Index stride = STRIDE;
    const Index height = 7, width = 9, out_height = (height + stride - 1) / stride;
    const Index out_width = (width + stride - 1) / stride;
    Maps<T> in = Maps<T>::drawn(height, width, PADDING), grad = Maps<T>::drawn(out_height, out_width, PADDING);
    Maps<T> found(out_height, out_width), in_gradient = Maps<T>::drawn(height, width, PADDING);
    const Maps<T> before = in_gradient;
    std::vector<T> weight(SIZE * SIZE), taps(SIZE * SIZE, T(0));
    for (T& value : weight) value = draw<T>();
    convolve<T, SIZE, DILATION, STRIDE>(in.start(), in.row(), weight.data(), out_height, out_width,
                                        [&](Index y, Index x, Lanes<T> value) { found.lanes(y, x) = value; });
    weight_gradient<T, SIZE, DILATION>(in.start(), in.row(), stride, grad.start(), grad.row(), out_height, out_width,
                                       taps.data());
    input_gradient<T, SIZE, DILATION>(in_gradient.start(), in_gradient.row(), stride, grad.start(), grad.row(),
                                      weight.data(), out_height, out_width);

    const std::string name = " " + std::to_string(SIZE) + "x" + std::to_string(SIZE) + " of dilation " +
                             std::to_string(DILATION) + " and stride " + std::to_string(stride);
    std::vector<double> expected_taps(SIZE * SIZE, 0.0);
    std::vector<double> expected_gradient(height * width * LANES, 0.0);
    for (Index lane = 0; lane < LANES; ++lane)
        for (Index y = 0; y < out_height; ++y)
            for (Index x = 0; x < out_width; ++x) {
                double expected = 0;
                for (Index ky = 0; ky < SIZE; ++ky)
                    for (Index kx = 0; kx < SIZE; ++kx) {
                        const Index from_y = y * stride + (ky - SIZE / 2) * DILATION;
                        const Index from_x = x * stride + (kx - SIZE / 2) * DILATION;
                        const double value = in.at(lane, from_y, from_x), g = grad.at(lane, y, x);
                        expected += weight[ky * SIZE + kx] * value;
                        expected_taps[ky * SIZE + kx] += g * value;
                        if (from_y >= 0 && from_x >= 0 && from_y < height && from_x < width)
                            expected_gradient[(lane * height + from_y) * width + from_x] += weight[ky * SIZE + kx] * g;
                    }
                findings.compare("convolve" + name, found.at(lane, y, x), expected);
            }
    for (int tap = 0; tap < SIZE * SIZE; ++tap)
        findings.compare("weight_gradient" + name, taps[tap], expected_taps[tap]);
    for (Index lane = 0; lane < LANES; ++lane)
        for (Index y = 0; y < height; ++y)
            for (Index x = 0; x < width; ++x)
                findings.compare("input_gradient" + name, in_gradient.at(lane, y, x) - before.at(lane, y, x),
                                 expected_gradient[(lane * height + y) * width + x]);
}

template <class T, int STRIDE> void depthwise(Findings& findings) {
    depthwise<T, 3, 1, STRIDE>(findings);
    depthwise<T, 5, 1, STRIDE>(findings);
    depthwise<T, 3, 2, STRIDE>(findings);
    depthwise<T, 5, 2, STRIDE>(findings);
}

template <class T> void depthwise(Findings& findings) {
    depthwise<T, 1>(findings);
    depthwise<T, 2>(findings);
}

template <class T> void products(Findings& findings, Index rows, Index columns) {
    const Index pixels = 11, first = 2, last = 11;  // neither the first pixels nor a multiple of any tile
    std::vector<Maps<T>> left, right;
    std::vector<const T*> left_planes, right_planes;
    for (Index i = 0; i < rows; ++i) left.push_back(Maps<T>::drawn(1, pixels));
    for (Index i = 0; i < columns; ++i) right.push_back(Maps<T>::drawn(1, pixels));
    for (auto& maps : left) left_planes.push_back(maps.data());
    for (auto& maps : right) right_planes.push_back(maps.data());
    std::vector<T> matrix(rows * (columns + 1)), bias(rows), moments(rows * (columns + 2), T(1));
    for (T& value : matrix) value = draw<T>();
    for (T& value : bias) value = draw<T>();
    std::vector<Maps<T>> mixed(rows, Maps<T>(1, pixels));
    combine(right_planes.data(), columns, matrix.data(), columns + 1, bias.data(), rows, first, last,
            [&](Index row, Index pixel, Lanes<T> value) { mixed[row].lanes(0, pixel) += value; });
    pcdarts::products(left_planes.data(), rows, right_planes.data(), columns, first, last, moments.data(), columns + 2);

    const std::string name = " " + std::to_string(rows) + " x " + std::to_string(columns);
    for (Index row = 0; row < rows; ++row) {
        for (Index x = 0; x < pixels; ++x)
            for (Index lane = 0; lane < LANES; ++lane) {
                double expected = x < first ? 0 : bias[row];
                for (Index column = 0; column < columns && x >= first; ++column)
                    expected += double(matrix[row * (columns + 1) + column]) * right[column].at(lane, 0, x);
                findings.compare("combine" + name, mixed[row].at(lane, 0, x), expected);
            }
        for (Index column = 0; column < columns + 2; ++column) {
            double expected = 1;
            for (Index x = first; x < last && column < columns; ++x)
                for (Index lane = 0; lane < LANES; ++lane)
                    expected += double(left[row].at(lane, 0, x)) * right[column].at(lane, 0, x);
            findings.compare("products" + name, moments[row * (columns + 2) + column], expected);
        }
    }
}

template <class T> void sums(Findings& findings) {
    const Index pixels = 11, first = 1, last = 10;
    std::vector<Maps<T>> maps;
    for (int i = 0; i < 3; ++i) maps.push_back(Maps<T>::drawn(1, pixels));
    const std::vector<T> weights{T(0.5), T(-2), T(3)};
    Maps<T> mixed = maps[0];  // one of the planes is where the result goes
    weighted_sum({mixed.data(), maps[1].data(), maps[2].data()}, weights, T(7), first, last, mixed.data());
    double total = 0, product = 0;
    for (Index x = 0; x < pixels; ++x)
        for (Index lane = 0; lane < LANES; ++lane) {
            const double a = maps[0].at(lane, 0, x), b = maps[1].at(lane, 0, x), c = maps[2].at(lane, 0, x);
            const bool inside = x >= first && x < last;
            findings.compare("weighted_sum", mixed.at(lane, 0, x), inside ? 7 + 0.5 * a - 2 * b + 3 * c : a);
            total += inside ? a : 0;
            product += inside ? a * b : 0;
        }
    findings.compare("plane_sum", plane_sum(maps[0].data(), first, last), total);
    findings.compare("plane_dot", plane_dot(maps[0].data(), maps[1].data(), first, last), product);
}

template <class T> void products(Findings& findings) {
    for (const Index rows : {1, 4, 7})
        for (const Index columns : {1, 3, 4, 9}) products<T>(findings, rows, columns);
    sums<T>(findings);
}

// One window of each pool at every pixel: the value, and where the gradient goes.
template <class T> void pool(Findings& findings, Index size, Index stride, Index height, Index width) {
    Maps<T> in = Maps<T>::drawn(height, width);
    in.lanes(1, 1) = in.lanes(0, 0);  // of equal values the first one has the gradient
    const Index out_height = (height + stride - 1) / stride, out_width = (width + stride - 1) / stride;
    Maps<T> grad = Maps<T>::drawn(out_height, out_width), of_largest(height, width), of_average(height, width);
    std::vector<double> expected_largest(height * width * LANES, 0.0), expected_average(height * width * LANES, 0.0);
    const std::string name =
        " " + std::to_string(size) + "x" + std::to_string(size) + " of stride " + std::to_string(stride);
    for (Index y = 0; y < out_height; ++y)
        for (Index x = 0; x < out_width; ++x) {
            const Window window = size == 3 ? window_3x3(y, x, stride, height, width) : window_2x2(y, x, height, width);
            const Lanes<T> best = largest(in.data(), width, window), mean = average(in.data(), width, window);
            largest_gradient(in.data(), of_largest.data(), width, window, best, grad.lanes(y, x));
            average_gradient(of_average.data(), width, window, grad.lanes(y, x));
            for (Index lane = 0; lane < LANES; ++lane) {
                std::vector<Index> inside;  // the pixels of the window, in reading order
                const Index start = size / 2 * (size == 3);
                for (Index dy = -start; dy < size - start; ++dy)
                    for (Index dx = -start; dx < size - start; ++dx) {
                        const Index from_y = y * stride + dy, from_x = x * stride + dx;
                        if (from_y >= 0 && from_x >= 0 && from_y < height && from_x < width)
                            inside.push_back(from_y * width + from_x);
                    }
                Index winner = inside[0];
                double total = 0;
                for (const Index pixel : inside) {
                    total += in.at(lane, pixel / width, pixel % width);
                    if (in.at(lane, pixel / width, pixel % width) > in.at(lane, winner / width, winner % width))
                        winner = pixel;
                    expected_average[pixel * LANES + lane] += grad.at(lane, y, x) / double(inside.size());
                }
                expected_largest[winner * LANES + lane] += grad.at(lane, y, x);
                findings.compare("largest" + name, best[lane], in.at(lane, winner / width, winner % width));
                findings.compare("average" + name, mean[lane], total / double(inside.size()));
            }
        }
    for (Index pixel = 0; pixel < height * width; ++pixel)
        for (Index lane = 0; lane < LANES; ++lane) {
            findings.compare("largest_gradient" + name, of_largest.at(lane, pixel / width, pixel % width),
                             expected_largest[pixel * LANES + lane]);
            findings.compare("average_gradient" + name, of_average.at(lane, pixel / width, pixel % width),
                             expected_average[pixel * LANES + lane]);
        }
}

template <class T> void pooling(Findings& findings) {
    pool<T>(findings, 3, 1, 5, 6);
    pool<T>(findings, 3, 2, 5, 6);
    pool<T>(findings, 3, 2, 6, 7);
    pool<T>(findings, 2, 2, 5, 6);
    pool<T>(findings, 2, 2, 4, 3);
}

// BatchNorm(P d) of n pixels d, pixel by pixel, and what its gradient g makes of P and d.
struct PlainNorm {
    Index n, rows, columns;
    std::vector<double> mean, variance;          // of P d, [rows]
    std::vector<double> z, of_weight, of_pixels;  // [n, rows], [rows, columns], [n, columns]

    template <class T>
    PlainNorm(const std::vector<T>& weight, const std::vector<T>& d, const std::vector<T>& g, Index rows, Index columns,
              const std::vector<T>* running_mean, const std::vector<T>* running_var)
        : n(d.size() / columns), rows(rows), columns(columns), mean(rows, 0.0), variance(rows, 0.0), z(n * rows, 0.0),
          of_weight(rows * columns, 0.0), of_pixels(n * columns, 0.0) {
        for (Index i = 0; i < rows; ++i) {
            for (Index pixel = 0; pixel < n; ++pixel)
                for (Index j = 0; j < columns; ++j)
                    z[pixel * rows + i] += double(weight[i * columns + j]) * d[pixel * columns + j];
            for (Index pixel = 0; pixel < n; ++pixel) mean[i] += z[pixel * rows + i] / double(n);
            for (Index pixel = 0; pixel < n; ++pixel)
                variance[i] += (z[pixel * rows + i] - mean[i]) * (z[pixel * rows + i] - mean[i]) / double(n);
            if (running_mean != nullptr) mean[i] = (*running_mean)[i], variance[i] = (*running_var)[i];
            const double scale = 1 / std::sqrt(variance[i] + 1e-5);
            double mean_g = 0, along = 0;
            for (Index pixel = 0; pixel < n; ++pixel) {
                z[pixel * rows + i] = (z[pixel * rows + i] - mean[i]) * scale;
                if (running_mean != nullptr) continue;  // these do not depend on the batch
                mean_g += g[pixel * rows + i] / double(n);
                along += g[pixel * rows + i] * z[pixel * rows + i] / double(n);
            }
            for (Index pixel = 0; pixel < n; ++pixel)
                for (Index j = 0; j < columns; ++j) {
                    const double of_z = scale * (g[pixel * rows + i] - mean_g - along * z[pixel * rows + i]);
                    of_weight[i * columns + j] += of_z * d[pixel * columns + j];
                    of_pixels[pixel * columns + j] += of_z * weight[i * columns + j];
                }
        }
    }
};

// A fold and its gradient from Σ d, Σ d dᵀ, Σ g dᵀ and Σ g over the pixels.
template <class T> struct Folded {
    std::vector<T> memory, of_weight, quadratic, constant;
    Fold<T> fold;

    Folded(const std::vector<T>& weight, const std::vector<T>& d, const std::vector<T>& g, Index rows, Index columns,
           bool training, std::vector<T>& running_mean, std::vector<T>& running_var)
        : memory(Fold<T>::size(rows, columns), T(0)), of_weight(rows * columns), quadratic(columns * columns),
          constant(columns), fold(Fold<T>::at(memory.data(), rows, columns)) {
        const Index n = d.size() / columns;
        std::vector<double> means(columns, 0.0), second(columns * columns, 0.0), products(rows * columns, 0.0);
        std::vector<double> sums(rows, 0.0);
        for (Index pixel = 0; pixel < n; ++pixel)
            for (Index j = 0; j < columns; ++j) {
                const double value = d[pixel * columns + j];
                means[j] += value / double(n);
                for (Index k = 0; k < columns; ++k)
                    second[j * columns + k] += value * d[pixel * columns + k] / double(n);
                for (Index i = 0; i < rows; ++i) products[i * columns + j] += value * g[pixel * rows + i];
            }
        for (Index i = 0; i < n * rows; ++i) sums[i % rows] += g[i];
        for (Index j = 0; j < columns; ++j) fold.mean[j] = T(means[j]);
        for (Index j = 0; j < columns * columns; ++j)
            fold.covariance[j] = T(second[j] - means[j / columns] * means[j % columns]);
        if (training)
            fold_batch(fold, weight.data(), rows, columns, double(n), running_mean.data(), running_var.data());
        else
            fold_running(fold, weight.data(), rows, columns, running_mean.data(), running_var.data());
        fold_gradient(fold, rows, columns, double(n), training, products.data(), sums.data(), of_weight.data(),
                      quadratic.data(), constant.data());
    }
};

template <class T> void fold(Findings& findings, Index rows, Index columns, bool training) {
    const Index n = 23;
    const std::string mode = training ? " in training" : " in evaluation";
    std::vector<T> weight(rows * columns), running_mean(rows), running_var(rows), d(n * columns), g(n * rows);
    for (auto* values : {&weight, &running_mean, &d, &g})
        for (T& value : *values) value = draw<T>();
    for (T& value : running_var) value = T(1.5) + draw<T>();
    const std::vector<T> mean_before = running_mean, variance_before = running_var;
    const Folded<T> found(weight, d, g, rows, columns, training, running_mean, running_var);
    const PlainNorm expected(weight, d, g, rows, columns, training ? nullptr : &mean_before, &variance_before);
    for (Index i = 0; i < rows && training; ++i) {
        findings.compare("the running mean", running_mean[i], 0.9 * mean_before[i] + 0.1 * expected.mean[i]);
        findings.compare("the running variance", running_var[i],
                         0.9 * variance_before[i] + 0.1 * expected.variance[i] * double(n) / double(n - 1));
    }
    for (Index i = 0; i < rows * columns; ++i)
        findings.compare("the gradient of P" + mode, found.of_weight[i], expected.of_weight[i]);
    const Fold<T>& fold = found.fold;
    for (Index pixel = 0; pixel < n; ++pixel) {
        for (Index i = 0; i < rows; ++i) {
            double z = fold.bias[i];
            for (Index j = 0; j < columns; ++j) z += double(fold.matrix[i * columns + j]) * d[pixel * columns + j];
            findings.compare("A d + b" + mode, z, expected.z[pixel * rows + i]);
        }
        for (Index j = 0; j < columns; ++j) {
            double of_d = found.constant[j];
            for (Index i = 0; i < rows; ++i) of_d += double(fold.matrix[i * columns + j]) * g[pixel * rows + i];
            for (Index k = 0; k < columns; ++k)
                of_d += double(found.quadratic[j * columns + k]) * d[pixel * columns + k];
            findings.compare("A^T g + Q d + u" + mode, of_d, expected.of_pixels[pixel * columns + j]);
        }
    }
}

// The numbers of the example at the top of cell.h, to the digits given there.
template <class T> void example(Findings& findings) {
    std::vector<T> memory(Fold<T>::size(1, 1), T(0));
    const Fold<T> folded = Fold<T>::at(memory.data(), 1, 1);
    T weight = T(0.5), running_mean = 0, running_var = 1, of_weight, quadratic, constant;
    folded.mean[0] = 3;
    folded.covariance[0] = 9;
    fold_batch(folded, &weight, 1, 1, 2.0, &running_mean, &running_var);
    const double products = 1.8, sums = 0.3;
    fold_gradient(folded, 1, 1, 2.0, true, &products, &sums, &of_weight, &quadratic, &constant);
    const auto rounded = [](double value, double digits) { return std::round(value * digits) / digits; };
    findings.compare("r of the example", rounded(folded.scale[0], 1e3), 0.667);
    findings.compare("A of the example", rounded(folded.matrix[0], 1e3), 0.333);
    findings.compare("b of the example", rounded(folded.bias[0], 1e3), -1);
    findings.compare("Q of the example", rounded(quadratic, 1e4), -0.0167);
    findings.compare("u of the example", rounded(constant, 1e4), 0);
}

template <class T> void fold(Findings& findings) {
    example<T>(findings);
    for (const bool training : {true, false}) {
        fold<T>(findings, 1, 1, training);
        fold<T>(findings, 4, 4, training);
        fold<T>(findings, 3, 6, training);
    }
}

// Of any size, aligned to a vector, in pieces that do not overlap.
template <class T> void memory(Findings& findings) {
    for (const Index count : {Index(1), LANES, 3 * LANES, 5 * LANES + 1, 999 * LANES}) {
        const Index bytes = whole_lines<T>(count);
        findings.compare("a size in whole lines", bytes % 64, 0);
        findings.compare("room in whole lines", bytes >= count * Index(sizeof(T)), true);
        auto& memory = scratch<T>(2 * count);
        T *first = memory.take(count), *second = memory.take(count);
        std::fill_n(first, count, T(1));
        std::fill_n(second, count, T(2));
        findings.compare("scratch", std::count(first, first + count, T(1)), count);
        for (const T* start : {first, second})
            findings.compare("alignment", reinterpret_cast<std::uintptr_t>(start) % alignof(Lanes<T>), 0);
    }
}

template <class T> bool all_right(const char* precision, double tolerance) {
    struct Kernel {
        const char* name;
        void (*check)(Findings&);
    };
    bool right = true;
    for (const Kernel kernel : {Kernel{"depthwise", depthwise<T>}, Kernel{"products", products<T>},
                                Kernel{"pooling", pooling<T>}, Kernel{"fold", fold<T>}, Kernel{"memory", memory<T>}}) {
        Findings findings;
        kernel.check(findings);
        right = findings.report(kernel.name, precision, tolerance) && right;
    }
    return right;
}

}  // namespace

int main() {
    const bool single = all_right<float>("float32", 1e-4), twice = all_right<double>("float64", 1e-12);
    return single && twice ? 0 : 1;
}

// What a cell does to its inputs: ReLU, 1x1 convolution, BatchNorm; or the same on the even and on the odd pixels, each
// with half of the output channels. The plain equivalents are ReluConvBN and FactorizedReduce in cell/primitives.py.
#pragma once

#include "forward.h"
#include "protocol.h"

namespace pcdarts {

template <class T> class Preprocess {
public:
    Preprocess(const PreprocessShape& shape, const PreprocessTensors<T>& tensors)
        : shape(shape), tensors(tensors), input(tensors.input), weights(this->tensors.weights), output(tensors.output),
          blocks((shape.batch + LANES - 1) / LANES),
          out_height((shape.height + shape.stride - 1) / shape.stride),
          out_width((shape.width + shape.stride - 1) / shape.stride), pixels(out_height * out_width),
          rows(std::max<Index>(1, 64 / out_width)), bands((out_height + rows - 1) / rows),
          count(double(shape.batch) * pixels) {}

    void forward() const {
        T *const running_mean = tensors.running_mean, *const running_var = tensors.running_var;
        T* const statistics = tensors.statistics;
        const Index out = shape.out_channels;
        prefer_large_pages(output, blocks * out * pixels * LANES);
        Partials<T> sums(blocks * bands, 1, 2 * out);
        parallel(blocks * bands, [&](Index item) { convolve_band(item / bands, item % bands, sums.at(0, item)); });
        const std::vector<double> totals = sums.total(0);
        for (Index channel = 0; channel < out; ++channel) {
            double mean = running_mean[channel], variance = running_var[channel];
            if (shape.training) {
                mean = totals[channel] / count;
                variance = std::max(totals[out + channel] / count - mean * mean, 0.0);
                remember(running_mean[channel], running_var[channel], mean, variance, count);
            }
            statistics[channel] = T(mean);
            statistics[out + channel] = T(1 / std::sqrt(variance + EPSILON));
        }
        parallel(blocks * out, [&](Index item) {
            const Lanes<T> mask = present<T>(shape.batch, item / out);
            const T mean = statistics[item % out], scale = statistics[out + item % out];
            T* plane = output + item * pixels * LANES;
            for (Index at = 0; at < pixels * LANES; at += LANES)
                store(plane + at, (load(plane + at) - mean) * scale * mask);
        });
    }

    void backward(const PreprocessGradients<T>& gradients) const {
        const T *const gradient = gradients.output, *const statistics = tensors.statistics;
        T* const input_gradient = gradients.input;
        const Index out = shape.out_channels, in = shape.in_channels;
        prefer_large_pages(input_gradient, blocks * in * shape.height * shape.width * LANES);
        Partials<T> sums(blocks, out, 2), weight_sums(blocks * bands, 1, shape.weight_gradients ? out * in : 0);
        if (shape.training)
            parallel(blocks * out, [&](Index item) {
                const T *g = gradient + item * pixels * LANES, *z = output + item * pixels * LANES;
                sums.at(item % out, item / out)[0] = plane_sum(g, 0, pixels);
                sums.at(item % out, item / out)[1] = plane_dot(g, z, 0, pixels);
            });
        std::vector<T> scales(out), means(out), slopes(out);
        for (Index channel = 0; channel < out; ++channel) {
            const std::vector<double> totals = sums.total(channel);
            scales[channel] = statistics[out + channel];
            means[channel] = T(totals[0] / count);
            slopes[channel] = T(totals[1] / count);
        }
        parallel(blocks * bands, [&](Index item) {
            T* own = shape.weight_gradients ? weight_sums.at(0, item) : nullptr;
            backward_band(item / bands, item % bands, gradient, scales, means, slopes, input_gradient, own);
        });
        if (!shape.weight_gradients) return;
        const std::vector<double> totals = weight_sums.total(0);
        for (Index i = 0; i < first_half() * in; ++i) gradients.weights[0][i] = T(totals[i]);
        for (Index i = first_half() * in; i < out * in; ++i) gradients.weights[1][i - first_half() * in] = T(totals[i]);
    }

private:
    Index halves() const { return shape.stride; }
    Index first_half() const {
        return shape.stride == 1 ? shape.out_channels : shape.out_channels - shape.out_channels / 2;
    }
    Index half_begin(Index half) const { return half ? first_half() : 0; }
    Index half_size(Index half) const { return half ? shape.out_channels - first_half() : first_half(); }
    Index band_top(Index band) const { return band * rows; }
    Index band_bottom(Index band) const { return std::min(band * rows + rows, out_height); }
    const T* plane(Index block, Index channel) const {
        return input + (block * shape.in_channels + channel) * shape.height * shape.width * LANES;
    }

    // The rectified pixels of a band, channel by channel in `tile`; at stride 2 the even or the odd ones, with zeros
    // where an odd size has no odd pixel.
    void take_band(Index block, Index band, Index half, T* tile, std::vector<const T*>& planes) const {
        for (Index channel = 0; channel < shape.in_channels; ++channel) {
            T* to = tile + channel * apart();
            planes.push_back(to);
            const T* from = plane(block, channel);
            if (shape.stride == 1) {
                rectify(from + band_top(band) * out_width * LANES, to, (band_bottom(band) - band_top(band)) * out_width);
                continue;
            }
            for (Index y = band_top(band); y < band_bottom(band); ++y)
                for (Index x = 0; x < out_width; ++x, to += LANES) {
                    const Index row = y * shape.stride + half, column = x * shape.stride + half;
                    const bool inside = row < shape.height && column < shape.width;
                    store(to, inside ? relu<T>(load(from + (row * shape.width + column) * LANES)) : zero<T>());
                }
        }
    }
    // From a plane of a band to the next.
    Index apart() const { return rows * out_width * LANES + GAP<T>; }

    void convolve_band(Index block, Index band, T* sums) const {
        const Index first = band_top(band) * out_width, last = band_bottom(band) * out_width, in = shape.in_channels;
        const std::vector<T> bias(shape.out_channels, T(0));
        for (Index half = 0; half < halves(); ++half) {
            std::vector<const T*> planes;
            T* tile = scratch<T>(in * apart()).take(in * apart());
            take_band(block, band, half, tile, planes);
            T* out = output + (block * shape.out_channels + half_begin(half)) * pixels * LANES;
            combine(planes.data(), in, weights[half], in, bias.data(), half_size(half), 0, last - first,
                          [&](Index row, Index pixel, Lanes<T> value) {
                              store(out + (row * pixels + first + pixel) * LANES, value);
                          });
            for (Index row = 0; row < half_size(half); ++row) {
                const T* values = out + row * pixels * LANES;
                sums[half_begin(half) + row] = plane_sum(values, first, last);
                sums[shape.out_channels + half_begin(half) + row] = plane_dot(values, values, first, last);
            }
        }
    }

    void backward_band(Index block, Index band, const T* gradient, const std::vector<T>& scales,
                       const std::vector<T>& means, const std::vector<T>& slopes, T* input_gradient,
                       T* weight_sums) const {
        const Index first = band_top(band) * out_width, size = band_bottom(band) * out_width - first;
        const Index in = shape.in_channels;
        if (shape.stride == 2) clear_rows(block, band, input_gradient);
        for (Index half = 0; half < halves(); ++half) {
            auto& memory = scratch<T>((in + shape.out_channels) * apart());
            std::vector<const T*> planes, grads;
            take_band(block, band, half, memory.take(in * apart()), planes);
            for (Index row = half_begin(half); row < half_begin(half) + half_size(half); ++row) {
                T* to = memory.take(apart());
                const Index offset = ((block * shape.out_channels + row) * pixels + first) * LANES;
                for (Index at = 0; at < size * LANES; at += LANES)
                    store(to + at, scales[row] * (load(gradient + offset + at) - means[row] -
                                                  slopes[row] * load(output + offset + at)));
                grads.push_back(to);
            }
            if (weight_sums != nullptr)
                products(grads.data(), half_size(half), planes.data(), in, 0, size,
                               weight_sums + half_begin(half) * in, in);
            spread_band(block, band, half, grads, planes, input_gradient);
        }
    }

    void clear_rows(Index block, Index band, T* input_gradient) const {
        const Index top = 2 * band_top(band), bottom = std::min(2 * band_bottom(band), shape.height);
        for (Index channel = 0; channel < shape.in_channels; ++channel) {
            T* to = input_gradient + (plane(block, channel) - input);
            std::fill(to + top * shape.width * LANES, to + bottom * shape.width * LANES, T(0));
        }
    }

    void spread_band(Index block, Index band, Index half, const std::vector<const T*>& grads,
                     const std::vector<const T*>& planes, T* input_gradient) const {
        const Index out = half_size(half), in = shape.in_channels,
                    size = (band_bottom(band) - band_top(band)) * out_width;
        std::vector<T> transposed(in * out);
        const std::vector<T> bias(in, T(0));
        for (Index row = 0; row < out; ++row)
            for (Index column = 0; column < in; ++column)
                transposed[column * out + row] = weights[half][row * in + column];
        combine(grads.data(), out, transposed.data(), out, bias.data(), in, 0, size,
                [&](Index channel, Index pixel, Lanes<T> value) {
                    const Index y = (band_top(band) + pixel / out_width) * shape.stride + half;
                    const Index x = pixel % out_width * shape.stride + half;
                    if (y >= shape.height || x >= shape.width) return;
                    const auto active = load(planes[channel] + pixel * LANES) > T(0);
                    T* to = input_gradient + (plane(block, channel) - input) + (y * shape.width + x) * LANES;
                    store(to, active ? value : zero<T>());
                });
    }

    const PreprocessShape shape;
    const PreprocessTensors<T> tensors;
    const T* const input;
    const T* const* const weights;
    T* const output;
    const Index blocks, out_height, out_width, pixels, rows, bands;
    const double count;
};

}  // namespace pcdarts

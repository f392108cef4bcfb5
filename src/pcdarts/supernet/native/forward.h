// The forward pass of a cell: source by source, then each target adds up what its sources sent (Eqs. 1 and 2).
#pragma once

#include "cell.h"

namespace pcdarts {

// Sums and products over all pixels, per block of images so that the result does not depend on the threads.
template <class T> class Partials {
public:
    Partials(Index blocks, Index items, Index size)
        : blocks_(blocks), size_(size), values_(blocks * items * size, T(0)) {}
    T* at(Index item, Index block) { return &values_[(item * blocks_ + block) * size_]; }
    std::vector<double> total(Index item) const {
        std::vector<double> result(size_, 0.0);
        for (Index block = 0; block < blocks_; ++block)
            for (Index i = 0; i < size_; ++i) result[i] += values_[(item * blocks_ + block) * size_ + i];
        return result;
    }

private:
    Index blocks_, size_;
    std::vector<T> values_;
};

template <class T> class ForwardSource {
public:
    ForwardSource(Cell<T>& cell, Index source)
        : cell(cell), source(source), edges(cell.targets(source)), c(cell.c), sums(cell.blocks, edges * STAGES, c),
          moments(cell.blocks, edges * STAGES, c * c),
          skip_moments(cell.blocks, edges, cell.strided(source) ? 4 * c * c + 2 * c : 0),
          pool_sums(cell.blocks, cell.used, 4) {}

    void run() {
        parallel(cell.blocks * cell.used, [&](Index item) { pool(item / cell.used, item % cell.used); });
        normalise_pools();
        if (cell.strided(source)) normalise_skip();
        parallel(cell.blocks * edges, [&](Index item) { first_stages(item / edges, item % edges); });
        for (Index stage : FROM_SOURCE) normalise(stage);
        parallel(cell.blocks * edges * 2, [&](Index item) {
            const Index index = item / 2 % edges, first = item % 2 ? SEP_5_FIRST : SEP_3_FIRST;
            if (cell.computes_stage(edge(index), first)) second_stage(item / (edges * 2), index, first);
        });
        normalise(SEP_3_SECOND);
        normalise(SEP_5_SECOND);
    }

private:
    Index edge(Index index) const { return cell.edge(source, cell.first_target(source) + index); }
    Index item(Index edge_index, Index stage) const { return edge_index * STAGES + stage; }

    void first_stages(Index block, Index index) {
        const Index height = cell.height(source), width = cell.width(source), size = padded_size(height, width);
        const auto computed = [&](Index stage) { return cell.computes_stage(edge(index), stage); };
        if (std::none_of(std::begin(FROM_SOURCE), std::end(FROM_SOURCE), computed)) return;
        T* padded = scratch<T>(c * size).take(c * size);
        for (Index rank = 0; rank < c; ++rank)
            pad_rectified(cell.node(source, block, cell.selected(edge(index), rank)), padded + rank * size, height,
                          width);
        for (Index stage : FROM_SOURCE) {
            if (!computed(stage)) continue;
            for (Index rank = 0; rank < c; ++rank)
                convolve_into(stage, index, block, rank, interior(padded + rank * size, width), padded_row(width),
                              cell.strided(source) ? 2 : 1);
            measure(stage, index, block);
        }
    }

    void convolve_into(Index stage, Index index, Index block, Index rank, const T* input, Index row, Index stride) {
        T* out = cell.depthwise(stage, edge(index), block, rank);
        const Index taps = kernel_size(stage) * kernel_size(stage);
        const T* weight = cell.in.parameters.depthwise[stage] + (edge(index) * c + rank) * taps;
        T* total = &sums.at(item(index, stage), block)[rank];
        with_kernel(stage, [&](auto size, auto dilation) {
            if (stride == 2)
                *total = convolve_and_sum<size(), dilation(), 2>(input, row, weight, out);
            else
                *total = convolve_and_sum<size(), dilation(), 1>(input, row, weight, out);
        });
    }

    // Write a convolution to a plane and return the sum of all its values.
    template <int SIZE, int DILATION, int STRIDE>
    T convolve_and_sum(const T* input, Index row, const T* weight, T* out) {
        const Index width = cell.out_width;
        Lanes<T> total = zero<T>();
        convolve<T, SIZE, DILATION, STRIDE>(input, row, weight, cell.out_height, width,
                                            [&](Index y, Index x, Lanes<T> value) {
                                                store(out + (y * width + x) * LANES, value);
                                                total += value;
                                            });
        return sum<T>(total);
    }

    // The second moments of a stage's outputs, which are in the cache still.
    void measure(Index stage, Index index, Index block) {
        if (!cell.shape.training) return;
        std::vector<const T*> planes;
        cell.stage_planes(stage, edge(index), block, planes);
        second_moments(planes, moments.at(item(index, stage), block));
    }

    void pool(Index block, Index channel) {
        const T* plane = cell.node(source, block, channel);
        const Index height = cell.height(source), width = cell.width(source), stride = cell.strided(source) ? 2 : 1;
        for (Index pool = 0; pool < 2; ++pool) {
            if (!cell.some_compute(source, MAX_POOL + pool)) continue;
            T* out = cell.pooled(pool, source, block, channel);
            Lanes<T> total = zero<T>(), squares = zero<T>();
            for (Index y = 0; y < cell.out_height; ++y)
                for (Index x = 0; x < cell.out_width; ++x, out += LANES) {
                    const Window window = window_3x3(y, x, stride, height, width);
                    const Lanes<T> value = pool == 0 ? largest(plane, width, window) : average(plane, width, window);
                    store(out, value);
                    total += value;
                    squares += value * value;
                }
            pool_sums.at(channel, block)[2 * pool] = sum<T>(total);
            pool_sums.at(channel, block)[2 * pool + 1] = sum<T>(squares);
        }
        if (cell.strided(source) && cell.some_compute(source, SKIP)) split_parities(plane, block, channel);
    }

    void split_parities(const T* plane, Index block, Index channel) {
        const Index height = cell.height(source), width = cell.width(source);
        for (Index odd = 0; odd < 2; ++odd) {
            T* out = cell.parity(odd, source, block, channel);
            for (Index y = odd; y < odd + 2 * cell.out_height; y += 2)
                for (Index x = odd; x < odd + 2 * cell.out_width; x += 2, out += LANES)
                    store(out, y < height && x < width ? relu<T>(load(plane + (y * width + x) * LANES)) : zero<T>());
        }
    }

    void second_stage(Index block, Index index, Index first) {
        const Index size = padded_size(cell.out_height, cell.out_width), row_length = padded_row(cell.out_width);
        const Lanes<T> mask = present<T>(cell.shape.batch, block);
        const Fold<T> fold = cell.fold(first, edge(index));
        std::vector<const T*> planes;
        cell.stage_planes(first, edge(index), block, planes);
        const Index together = cell.rows_at_once();
        T* hidden = scratch<T>(together * size).take(together * size);
        std::fill_n(hidden, together * size, T(0));
        for (Index begin = 0; begin < c; begin += together) {
            const Index rows = std::min(together, c - begin);
            hidden_rows(cell, fold, planes, begin, rows, mask, hidden);
            for (Index row = 0; row < rows; ++row)
                convolve_into(first + 1, index, block, begin + row, interior(hidden + row * size, cell.out_width),
                              row_length, 1);
        }
        measure(first + 1, index, block);
    }

    void normalise(Index stage) {
        parallel(edges, [&](Index index) {
            if (!cell.computes_stage(edge(index), stage)) return;
            const Fold<T> fold = cell.fold(stage, edge(index));
            const T* weight = cell.in.parameters.pointwise[stage] + edge(index) * c * c;
            finish(fold, weight, c, stage, edge(index), sums.total(item(index, stage)),
                   moments.total(item(index, stage)));
        });
    }

    void normalise_skip() {
        if (cell.shape.training)
            parallel(edges * cell.blocks, [&](Index index) {
                const Index block = index % cell.blocks, edge_index = index / cell.blocks;
                if (!cell.computes(edge(edge_index), SKIP)) return;
                std::vector<const T*> planes;
                cell.final_planes(FINAL_SKIP, source, edge(edge_index), block, planes);
                T* result = skip_moments.at(edge_index, block);
                second_moments(planes, result);
                for (Index j = 0; j < 2 * c; ++j) result[4 * c * c + j] = plane_sum(planes[j], 0, cell.pixels);
            });
        parallel(edges, [&](Index index) {
            if (!cell.computes(edge(index), SKIP)) return;
            const std::vector<double> totals = skip_moments.total(index);
            const std::vector<double> totals_of_planes(totals.end() - 2 * c, totals.end());
            finish(cell.skip_fold(edge(index)), cell.skip_weight(edge(index)).data(), 2 * c, SKIP_NORM,
                   cell.strided_position(edge(index)), totals_of_planes, totals);
        });
    }

    void second_moments(const std::vector<const T*>& planes, T* result) const {
        const Index size = planes.size();
        for (Index row = 0; row < size; row += 4)
            products(&planes[row], std::min<Index>(4, size - row), &planes[row], size - row, 0, cell.pixels,
                     result + row * size + row, size);
        for (Index row = 0; row < size; ++row)
            for (Index column = 0; column < row / 4 * 4; ++column)
                result[row * size + column] = result[column * size + row];
    }

    // Fold BatchNorm with the statistics of the batch or with the running ones.
    void finish(const Fold<T>& fold, const T* weight, Index columns, Index norm, Index norm_edge,
                const std::vector<double>& sums, const std::vector<double>& products) {
        T *mean = cell.in.running_mean[norm] + norm_edge * c, *var = cell.in.running_var[norm] + norm_edge * c;
        if (!cell.shape.training) return fold_running(fold, weight, c, columns, mean, var);
        for (Index j = 0; j < columns; ++j) fold.mean[j] = T(sums[j] / cell.count);
        for (Index j = 0; j < columns; ++j)
            for (Index k = 0; k < columns; ++k)
                fold.covariance[j * columns + k] =
                    T(products[j * columns + k] / cell.count - sums[j] / cell.count * sums[k] / cell.count);
        fold_batch(fold, weight, c, columns, cell.count, mean, var);
    }

    void normalise_pools() {
        for (Index index = 0; index < edges; ++index)
            for (Index rank = 0; rank < c; ++rank)
                for (Index pool = 0; pool < 2; ++pool)
                    if (cell.computes(edge(index), MAX_POOL + pool)) normalise_pool(pool, edge(index), rank);
    }

    void normalise_pool(Index pool, Index edge, Index rank) {
        T* running_mean = cell.in.running_mean[POOL_NORM + pool] + edge * c + rank;
        T* running_var = cell.in.running_var[POOL_NORM + pool] + edge * c + rank;
        double mean = *running_mean, variance = *running_var;
        if (cell.shape.training) {
            const std::vector<double> totals = pool_sums.total(cell.selected(edge, rank));
            mean = totals[2 * pool] / cell.count;
            variance = std::max(totals[2 * pool + 1] / cell.count - mean * mean, 0.0);
            remember(*running_mean, *running_var, mean, variance, cell.count);
        }
        cell.pool_statistics(pool, 0, edge)[rank] = T(mean);
        cell.pool_statistics(pool, 1, edge)[rank] = T(1 / std::sqrt(variance + EPSILON));
    }

    Cell<T>& cell;
    const Index source, edges, c;
    Partials<T> sums, moments, skip_moments, pool_sums;
};

// Rows [begin, begin + rows) of relu(A d + b), into padded planes whose borders are zero already.
template <class T> inline void hidden_rows(const Cell<T>& cell, const Fold<T>& fold,
                                           const std::vector<const T*>& planes, Index begin, Index rows, Lanes<T> mask,
                                           T* hidden) {
    const Index size = padded_size(cell.out_height, cell.out_width), row_length = padded_row(cell.out_width);
    for (Index y = 0; y < cell.out_height; ++y) {
        T* line = interior(hidden, cell.out_width) + y * row_length;
        combine(planes.data(), cell.c, fold.matrix + begin * cell.c, cell.c, fold.bias + begin, rows,
                y * cell.out_width, (y + 1) * cell.out_width, [&](Index row, Index pixel, Lanes<T> value) {
                    store(line + row * size + (pixel - y * cell.out_width) * LANES, relu<T>(value) * mask);
                });
    }
}

// Node `target`: over its edges, the mixed operations and the bypassed channels (Eqs. 1 and 2).
template <class T> class Gather {
public:
    Gather(Cell<T>& cell, Index target) : cell(cell), target(target), c(cell.c) {
        // Edges that all sample the same channels are one product with all their planes.
        const Index size = cell.shape.shuffles ? target : 1;
        for (Index source = 0; source < target; source += size) products_.emplace_back(*this, source, source + size);
    }

    void run() {
        const Index rows = std::max<Index>(1, 128 / cell.out_width);
        const Index bands = (cell.out_height + rows - 1) / rows;
        parallel(cell.blocks * bands, [&](Index item) {
            const Index top = item % bands * rows;
            band(item / bands, top, std::min(top + rows, cell.out_height));
        });
    }

private:
    // The last stages of all convolutions of the edges from some sources, as one affine map of the depthwise outputs.
    struct Product {
        Index begin, end, columns = 0;  // sources
        std::vector<T> matrix, bias;

        Product(const Gather& gather, Index begin, Index end) : begin(begin), end(end), bias(gather.c, T(0)) {
            const Cell<T>& cell = gather.cell;
            gather.for_finals(begin, end, [&](Index, Index final) { columns += cell.final_columns(final); });
            matrix.resize(gather.c * columns);
            Index column = 0;
            gather.for_finals(begin, end, [&](Index source, Index final) {
                const Index edge = cell.edge(source, gather.target), own = cell.final_columns(final);
                const Fold<T> fold = cell.final_fold(final, edge);
                const T weight = cell.weight(edge, cell.final_primitive(final));
                for (Index row = 0; row < gather.c; ++row) {
                    for (Index j = 0; j < own; ++j)
                        matrix[row * columns + column + j] = weight * fold.matrix[row * own + j];
                    bias[row] += weight * fold.bias[row];
                }
                column += own;
            });
        }
    };

    // Call body(source, final) for all finals that are computed on the edges from the sources [begin, end).
    template <class Body> void for_finals(Index begin, Index end, Body body) const {
        for (Index source = begin; source < end; ++source)
            for (Index final = 0; final < cell.finals(source); ++final)
                if (cell.computes_final(cell.edge(source, target), final)) body(source, final);
    }

    void band(Index block, Index top, Index bottom) {
        const Index first = top * cell.out_width, last = bottom * cell.out_width;
        for (Index channel = 0; channel < cell.shape.channels; ++channel) direct(block, channel, top, bottom);
        for (const Product& product : products_)
            if (product.columns > 0) mix(product, block, first, last);
        if ((block + 1) * LANES <= cell.shape.batch) return;
        const Lanes<T> mask = present<T>(cell.shape.batch, block);
        for (Index channel = 0; channel < cell.shape.channels; ++channel)
            for (Index at = first * LANES; at < last * LANES; at += LANES)
                store(out(block, channel) + at, load(out(block, channel) + at) * mask);
    }

    T* out(Index block, Index channel) const { return cell.plane_of(cell.output, target, block, channel); }

    // What reaches a channel without a convolution: where it is sampled, pools and skip-connections, else the bypass.
    void direct(Index block, Index channel, Index top, Index bottom) {
        T* to = out(block, cell.placed(channel));
        std::vector<const T*> planes;
        std::vector<T> weights;
        T constant = 0;
        for (Index source = 0; source < target; ++source) {
            const Index edge = cell.edge(source, target), rank = cell.rank(edge, channel);
            for (Index pool = 0; pool < 2 && rank >= 0; ++pool) {
                if (!cell.computes(edge, MAX_POOL + pool)) continue;
                planes.push_back(cell.pooled(pool, source, block, channel));
                weights.push_back(cell.weight(edge, MAX_POOL + pool) * cell.pool_statistics(pool, 1, edge)[rank]);
                constant -= weights.back() * cell.pool_statistics(pool, 0, edge)[rank];
            }
            if (!cell.strided(source) && (rank < 0 || cell.computes(edge, SKIP))) {
                planes.push_back(cell.node(source, block, channel));
                weights.push_back(rank >= 0 ? cell.weight(edge, SKIP) : cell.in.edge_weights[edge]);
            }
        }
        weighted_sum(planes, weights, constant, top * cell.out_width, bottom * cell.out_width, to);
        for (Index source = 0; source < target; ++source)
            if (cell.strided(source) && cell.rank(cell.edge(source, target), channel) < 0)
                halve(source, block, channel, top, bottom, to);
    }

    void halve(Index source, Index block, Index channel, Index top, Index bottom, T* to) {
        const T* plane = cell.node(source, block, channel);
        const T weight = cell.in.edge_weights[cell.edge(source, target)];
        const Index height = cell.shape.height, width = cell.shape.width;
        for (Index y = top; y < bottom; ++y)
            for (Index x = 0; x < cell.out_width; ++x) {
                const Index at = (y * cell.out_width + x) * LANES;
                store(to + at, load(to + at) + weight * largest(plane, width, window_2x2(y, x, height, width)));
            }
    }

    void mix(const Product& product, Index block, Index first, Index last) {
        std::vector<const T*> planes;
        for_finals(product.begin, product.end, [&](Index source, Index final) {
            cell.final_planes(final, source, cell.edge(source, target), block, planes);
        });
        std::vector<T*> targets;
        for (Index rank = 0; rank < c; ++rank)
            targets.push_back(out(block, cell.placed(cell.selected(cell.edge(product.begin, target), rank))));
        combine(planes.data(), product.columns, product.matrix.data(), product.columns, product.bias.data(), c, first,
                last, [&](Index row, Index pixel, Lanes<T> value) {
                    T* to = targets[row] + pixel * LANES;
                    store(to, load(to) + value);
                });
    }

    Cell<T>& cell;
    const Index target, c;
    std::vector<Product> products_;
};

template <class T> void Cell<T>::forward() {
    prefer_large_pages(in.saved, saved_size());
    prefer_large_pages(output, output_size());
    for (Index source = 0; source + 1 < shape.nodes; ++source) {
        ForwardSource<T>(*this, source).run();
        if (source >= 1) Gather<T>(*this, source + 1).run();
    }
}

}  // namespace pcdarts

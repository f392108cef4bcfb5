// The backward pass of a cell: from the last source to the first, whose targets' gradients are complete by then.
//
// Of an operation's output nothing was kept: its gradient with respect to a depthwise output d is Aᵀ g + Q d + u
// (fold.h), made row by row in a padded plane from which the two gradients of the depthwise convolution follow.
#pragma once

#include "cell.h"
#include "direct.h"
#include "forward.h"

namespace pcdarts {

// grad d = matrix [planes of d, planes of g and d] times these planes, plus bias.
template <class T> struct Linear {
    std::vector<T> matrix, bias;

    Linear() = default;
    // From the A of a fold, the weight of its output in the mixture, and what `fold_gradient` returned.
    Linear(const Fold<T>& fold, Index rows, Index columns, T weight, const std::vector<T>& quadratic,
           const std::vector<T>& constant)
        : matrix(columns * (rows + columns)), bias(constant) {
        for (Index j = 0; j < columns; ++j) {
            T* line = &matrix[j * (rows + columns)];
            for (Index i = 0; i < rows; ++i) line[i] = weight * fold.matrix[i * columns + j];
            for (Index k = 0; k < columns; ++k) line[rows + k] = quadratic[j * columns + k];
        }
    }
};

template <class T> class BackwardSource {
public:
    BackwardSource(const Cell<T>& cell, Index source, const CellGradients<T>& gradients)
        : cell(cell), source(source), edges(cell.targets(source)), c(cell.c), gradients(gradients),
          nearby(cell, source, gradients), direct(nearby), columns(FINALS * c + (cell.strided(source) ? 2 * c : 0)),
          final_products(cell.blocks, edges, c * columns), final_sums(cell.blocks, edges, 4 * c + 1),
          hidden_products(cell.blocks, edges * 2, c * c), hidden_sums(cell.blocks, edges * 2, c),
          taps(cell.blocks, edges * STAGES, cell.shape.weight_gradients ? c * TAPS : 0),
          finals(edges * cell.finals(source)), firsts(edges * 2) {}

    void run() {
        parallel(cell.blocks * edges, [&](Index item) { sum_products(item / edges, item % edges); });
        parallel(edges * cell.finals(source), [&](Index item) {
            const Index index = item / cell.finals(source), final = item % cell.finals(source);
            if (cell.computes_final(edge(index), final)) fold_final(index, final);
        });
        for (Index index = 0; index < edges; ++index) mixture_gradients(index);
        if (source < 2 && !cell.shape.input_gradients) return;
        direct.fold(final_sums);
        const Index together = cell.rows_at_once(), groups = (c + together - 1) / together;
        parallel(cell.blocks * edges * 2 * groups, [&](Index item) {
            const Index group = item % groups, op = item / groups % 2, index = item / groups / 2 % edges;
            if (cell.computes_final(edge(index), op))
                second_stage(item / groups / 2 / edges, index, op, group * together);
        });
        parallel(edges * 2, [&](Index item) {
            if (cell.computes_final(edge(item / 2), item % 2)) fold_hidden(item / 2, item % 2);
        });
        // Without shuffles the edges sample different channels: one thread takes all channels of a block.
        const Index size = cell.shape.shuffles ? together : cell.used, parts = (cell.used + size - 1) / size;
        parallel(cell.blocks * parts, [&](Index item) {
            const Index begin = item % parts * size;
            arrive(item / parts, begin, std::min(begin + size, cell.used));
        });
        const Index passing = cell.shape.channels - cell.used;
        parallel(cell.blocks * passing, [&](Index item) {
            const Index block = item / passing, channel = cell.used + item % passing;
            direct.pass(block, channel, source >= 2, nearby.own_gradient(block, channel));
        });
        if (cell.shape.weight_gradients) add_up_taps();
    }

private:
    Index edge(Index index) const { return nearby.edge(index); }
    const T* gradient(Index index, Index block, Index channel) const { return nearby.gradient(index, block, channel); }
    T* hidden_gradient(Index op, Index index, Index block, Index rank) const {
        return gradients.hidden + (((op * edges + index) * cell.blocks + block) * c + rank) * cell.pixels * LANES;
    }
    void gradient_planes(Index index, Index block, std::vector<const T*>& planes) const {
        for (Index rank = 0; rank < c; ++rank)
            planes.push_back(gradient(index, block, cell.selected(edge(index), rank)));
    }

    // Σ g dᵀ, Σ g, and per channel the products of g with the pools and the source; last, with the bypassed channels.
    void sum_products(Index block, Index index) {
        std::vector<const T*> planes, rows;
        for (Index final = 0; final < cell.finals(source); ++final)
            if (cell.computes_final(edge(index), final)) cell.final_planes(final, source, edge(index), block, planes);
        gradient_planes(index, block, rows);
        products(rows.data(), c, planes.data(), planes.size(), 0, cell.pixels, final_products.at(index, block), columns);
        T* sums = final_sums.at(index, block);
        for (Index rank = 0; rank < c; ++rank) {
            const Index channel = cell.selected(edge(index), rank);
            sums[rank] = plane_sum(rows[rank], 0, cell.pixels);
            for (Index pool = 0; pool < 2; ++pool)
                if (cell.computes(edge(index), MAX_POOL + pool))
                    sums[(1 + pool) * c + rank] =
                        plane_dot(rows[rank], cell.pooled(pool, source, block, channel), 0, cell.pixels);
            if (!cell.strided(source) && cell.shape.mixture_gradients && cell.computes(edge(index), SKIP))
                sums[3 * c + rank] = plane_dot(rows[rank], cell.node(source, block, channel), 0, cell.pixels);
        }
        if (!cell.shape.mixture_gradients) return;
        for (Index channel = 0; channel < cell.shape.channels; ++channel)
            if (cell.rank(edge(index), channel) < 0) sums[4 * c] += bypass_dot(block, index, channel);
    }

    T bypass_dot(Index block, Index index, Index channel) const {
        const T *plane = cell.node(source, block, channel), *grad = gradient(index, block, channel);
        if (!cell.strided(source)) return plane_dot(plane, grad, 0, cell.pixels);
        Lanes<T> total = zero<T>();
        for (Index y = 0; y < cell.out_height; ++y)
            for (Index x = 0; x < cell.out_width; ++x)
                total += load(grad + (y * cell.out_width + x) * LANES) *
                         largest(plane, cell.shape.width, window_2x2(y, x, cell.shape.height, cell.shape.width));
        return sum<T>(total);
    }

    void fold_final(Index index, Index final) {
        const Index own = cell.final_columns(final);
        const Fold<T> fold = cell.final_fold(final, edge(index));
        const T weight = cell.weight(edge(index), cell.final_primitive(final));
        const std::vector<double> all = final_products.total(index);
        Index begin = 0;  // its first column among those of the finals that are computed
        for (Index before = 0; before < final; ++before)
            if (cell.computes_final(edge(index), before)) begin += cell.final_columns(before);
        std::vector<double> products(c * own), sums = final_sums.total(index);
        double along = 0;
        for (Index row = 0; row < c; ++row) {
            for (Index j = 0; j < own; ++j) {
                const double product = all[row * columns + begin + j];
                along += fold.matrix[row * own + j] * product;
                products[row * own + j] = weight * product;
            }
            along += fold.bias[row] * sums[row];
            sums[row] *= weight;
        }
        if (cell.shape.mixture_gradients)
            gradients.op_weights[edge(index) * PRIMITIVES + cell.final_primitive(final)] = T(along);
        std::vector<T> quadratic(own * own), constant(own), skip(final == FINAL_SKIP ? c * own : 0);
        T* weight_gradient = skip.empty() ? pointwise_gradient(TO_TARGET[final], index) : skip.data();
        fold_gradient(fold, c, own, cell.count, bool(cell.shape.training), products.data(), sums.data(),
                      cell.shape.weight_gradients ? weight_gradient : nullptr, quadratic.data(), constant.data());
        finals[index * cell.finals(source) + final] = Linear<T>(fold, c, own, weight, quadratic, constant);
        if (final == FINAL_SKIP && cell.shape.weight_gradients) keep_skip_gradient(index, skip);
    }

    T* pointwise_gradient(Index stage, Index index) const {
        return cell.shape.weight_gradients ? gradients.parameters.pointwise[stage] + edge(index) * c * c : nullptr;
    }

    void keep_skip_gradient(Index index, const std::vector<T>& gradient) const {
        const Index position = cell.strided_position(edge(index)), half = c / 2 * c;
        for (Index row = 0; row < c / 2; ++row) {
            std::copy_n(&gradient[row * 2 * c], c, gradients.parameters.even + position * half + row * c);
            std::copy_n(&gradient[(c / 2 + row) * 2 * c + c], c, gradients.parameters.odd + position * half + row * c);
        }
    }

    // With respect to the op weights and the edge weight of an edge, whose product weighs the operations.
    void mixture_gradients(Index index) {
        if (!cell.shape.mixture_gradients) return;
        const std::vector<double> sums = final_sums.total(index);
        T* ops = gradients.op_weights + edge(index) * PRIMITIVES;
        const T *op_weights = cell.in.op_weights + edge(index) * PRIMITIVES, beta = cell.in.edge_weights[edge(index)];
        for (Index pool = 0; pool < 2; ++pool) {
            if (!cell.computes(edge(index), MAX_POOL + pool)) continue;
            double along = 0;
            for (Index rank = 0; rank < c; ++rank)
                along += double(cell.pool_statistics(pool, 1, edge(index))[rank]) *
                         (sums[(1 + pool) * c + rank] -
                          double(cell.pool_statistics(pool, 0, edge(index))[rank]) * sums[rank]);
            ops[MAX_POOL + pool] = T(along);
        }
        if (!cell.strided(source) && cell.computes(edge(index), SKIP)) {
            double along = 0;
            for (Index rank = 0; rank < c; ++rank) along += sums[3 * c + rank];
            ops[SKIP] = T(along);
        }
        T total = T(sums[4 * c]);
        for (Index primitive = 1; primitive < PRIMITIVES; ++primitive) {
            total += op_weights[primitive] * ops[primitive];
            ops[primitive] *= beta;
        }
        gradients.edge_weights[edge(index)] = total;
    }

    // Some rows from `begin` on of the second stage of a separable convolution, down to the gradient of its BatchNorm.
    void second_stage(Index block, Index index, Index op, Index begin) {
        const Index rows = std::min(cell.rows_at_once(), c - begin), first = op ? SEP_5_FIRST : SEP_3_FIRST,
                    stage = first + 1;
        const Index size = padded_size(cell.out_height, cell.out_width), row_length = padded_row(cell.out_width);
        const Index width = cell.out_width;
        auto& memory = scratch<T>(2 * rows * size);
        T *hidden = memory.take(rows * size), *grads = memory.take(rows * size);
        std::fill_n(hidden, rows * size, T(0));
        std::fill_n(grads, rows * size, T(0));
        std::vector<const T*> inputs, mixed, outgoing;
        cell.stage_planes(first, edge(index), block, inputs);
        hidden_rows(cell, cell.fold(first, edge(index)), inputs, begin, rows, present<T>(cell.shape.batch, block),
                    hidden);
        gradient_planes(index, block, mixed);
        cell.stage_planes(stage, edge(index), block, mixed);
        gradient_rows(finals[index * cell.finals(source) + op], mixed, begin, rows, grads);
        for (Index row = 0; row < rows; ++row) {
            const Index rank = begin + row, kernel = kernel_size(stage) * kernel_size(stage);
            const T *h = interior(hidden + row * size, width), *g = interior(grads + row * size, width);
            T* out = hidden_gradient(op, index, block, rank);
            T turned[TAPS];
            const T* weight = cell.in.parameters.depthwise[stage] + (edge(index) * c + rank) * kernel;
            std::reverse_copy(weight, weight + kernel, turned);
            with_kernel(stage, [&](auto taps_across, auto dilation) {
                if (cell.shape.weight_gradients)
                    weight_gradient<T, taps_across(), dilation()>(h, row_length, 1, g, row_length, cell.out_height,
                                                                  width, tap_gradient(index, stage, block, rank));
                convolve<T, taps_across(), dilation()>(
                    g, row_length, turned, cell.out_height, width, [&](Index y, Index x, Lanes<T> value) {
                        const auto active = load(h + y * row_length + x * LANES) > T(0);
                        store(out + (y * width + x) * LANES, active ? value : zero<T>());
                    });
            });
            outgoing.push_back(out);
            hidden_sums.at(index * 2 + op, block)[rank] = plane_sum(out, 0, cell.pixels);
        }
        products(outgoing.data(), rows, inputs.data(), c, 0, cell.pixels,
                 hidden_products.at(index * 2 + op, block) + begin * c, c);
    }

    // Rows of a Linear into padded planes whose borders are zero already.
    void gradient_rows(const Linear<T>& linear, const std::vector<const T*>& planes, Index begin, Index rows,
                       T* padded) {
        const Index size = padded_size(cell.out_height, cell.out_width), row_length = padded_row(cell.out_width);
        const Index width = cell.out_width, count = planes.size();
        for (Index y = 0; y < cell.out_height; ++y) {
            T* line = interior(padded, width) + y * row_length;
            combine(planes.data(), count, &linear.matrix[begin * count], count, &linear.bias[begin], rows, y * width,
                    (y + 1) * width, [&](Index row, Index pixel, Lanes<T> value) {
                        store(line + row * size + (pixel - y * width) * LANES, value);
                    });
        }
    }

    T* tap_gradient(Index index, Index stage, Index block, Index rank) {
        return taps.at(index * STAGES + stage, block) + rank * TAPS;
    }

    void fold_hidden(Index index, Index op) {
        const Index stage = op ? SEP_5_FIRST : SEP_3_FIRST;
        const Fold<T> fold = cell.fold(stage, edge(index));
        std::vector<T> quadratic(c * c), constant(c);
        fold_gradient(fold, c, c, cell.count, bool(cell.shape.training), hidden_products.total(index * 2 + op).data(),
                      hidden_sums.total(index * 2 + op).data(), pointwise_gradient(stage, index), quadratic.data(),
                      constant.data());
        firsts[index * 2 + op] = Linear<T>(fold, c, c, T(1), quadratic, constant);
    }

    // The gradient of the channels [begin, end) of the source, which are among the sampled ones.
    void arrive(Index block, Index begin, Index end) {
        const Index height = cell.height(source), width = cell.width(source), size = padded_size(height, width);
        const Index out_size = padded_size(cell.out_height, cell.out_width);
        const Index together = cell.rows_at_once();
        auto& memory = scratch<T>(2 * (end - begin) * size + together * out_size + cell.pixels * LANES);
        T *rectified = memory.take((end - begin) * size), *sums = memory.take((end - begin) * size);
        T *grads = memory.take(together * out_size), *pool = memory.take(cell.pixels * LANES);
        std::fill_n(sums, (end - begin) * size, T(0));
        std::fill_n(grads, together * out_size, T(0));
        for (Index channel = begin; channel < end; ++channel)
            pad_rectified(cell.node(source, block, channel), rectified + (channel - begin) * size, height, width);
        for (Index index = 0; index < edges; ++index) {
            const Index first = cell.shape.shuffles ? begin : 0, last = cell.shape.shuffles ? end : c;
            for (Index rank = first; rank < last; rank += together)
                first_stages(block, index, rank, std::min(together, last - rank), begin, rectified, sums, grads);
        }
        for (Index channel = begin; channel < end; ++channel) {
            T* own = nearby.own_gradient(block, channel);
            const T *x = cell.node(source, block, channel), *sum = interior(sums + (channel - begin) * size, width);
            for (Index y = 0; y < height; ++y)
                for (Index at = 0; at < width * LANES; at += LANES) {
                    const Index pixel = y * width * LANES + at;
                    const Lanes<T> before = source < 2 ? zero<T>() : load(own + pixel);
                    const Lanes<T> value = load(sum + y * padded_row(width) + at);
                    store(own + pixel, before + (load(x + pixel) > T(0) ? value : zero<T>()));
                }
            direct.arrive(block, channel, own, pool);
        }
    }

    // What rows [begin, begin + rows) of all first stages on an edge add to the gradient of the rectified source.
    void first_stages(Index block, Index index, Index begin, Index rows, Index first_channel, const T* rectified,
                      T* sums, T* grads) {
        const Index row = padded_row(cell.width(source)), out_row = padded_row(cell.out_width);
        const Index size = padded_size(cell.height(source), cell.width(source)), stride = cell.strided(source) ? 2 : 1;
        const Index out_size = padded_size(cell.out_height, cell.out_width);
        for (Index op = 0; op < 4; ++op) {
            const Index stage = FROM_SOURCE[op], kernel = kernel_size(stage) * kernel_size(stage);
            if (!cell.computes_stage(edge(index), stage)) continue;
            std::vector<const T*> planes;
            if (op < 2)
                for (Index rank = 0; rank < c; ++rank) planes.push_back(hidden_gradient(op, index, block, rank));
            else
                gradient_planes(index, block, planes);
            cell.stage_planes(stage, edge(index), block, planes);
            gradient_rows(op < 2 ? firsts[index * 2 + op] : finals[index * cell.finals(source) + op], planes, begin,
                          rows, grads);
            for (Index rank = begin; rank < begin + rows; ++rank) {
                const Index at = (cell.selected(edge(index), rank) - first_channel) * size;
                const T* g = interior(grads + (rank - begin) * out_size, cell.out_width);
                const T* weight = cell.in.parameters.depthwise[stage] + (edge(index) * c + rank) * kernel;
                with_kernel(stage, [&](auto taps_across, auto dilation) {
                    if (cell.shape.weight_gradients)
                        weight_gradient<T, taps_across(), dilation()>(
                            interior(rectified + at, cell.width(source)), row, stride, g, out_row, cell.out_height,
                            cell.out_width, tap_gradient(index, stage, block, rank));
                    input_gradient<T, taps_across(), dilation()>(interior(sums + at, cell.width(source)), row, stride,
                                                                 g, out_row, weight, cell.out_height, cell.out_width);
                });
            }
        }
        if (cell.strided(source) && cell.computes(edge(index), SKIP))
            strided_skip(block, index, begin, rows, first_channel, sums);
    }

    void strided_skip(Index block, Index index, Index begin, Index rows, Index first_channel, T* sums) {
        const Index height = cell.height(source), width = cell.width(source), row_length = padded_row(width);
        std::vector<const T*> planes;
        gradient_planes(index, block, planes);
        cell.final_planes(FINAL_SKIP, source, edge(index), block, planes);
        const Linear<T>& linear = finals[index * cell.finals(source) + FINAL_SKIP];
        const Index count = planes.size();
        for (Index odd = 0; odd < 2; ++odd) {
            const Index first = odd * c + begin;
            combine(planes.data(), count, &linear.matrix[first * count], count, &linear.bias[first], rows, 0,
                    cell.pixels, [&](Index row, Index pixel, Lanes<T> value) {
                        const Index y = 2 * (pixel / cell.out_width) + odd, x = 2 * (pixel % cell.out_width) + odd;
                        if (y >= height || x >= width) return;
                        const Index channel = cell.selected(edge(index), begin + row) - first_channel;
                        T* sum =
                            interior(sums + channel * padded_size(height, width), width) + y * row_length + x * LANES;
                        store(sum, load(sum) + value);
                    });
        }
    }

    void add_up_taps() {
        for (Index index = 0; index < edges; ++index)
            for (Index stage = 0; stage < STAGES; ++stage) {
                const std::vector<double> totals = taps.total(index * STAGES + stage);
                const Index kernel = kernel_size(stage) * kernel_size(stage);
                for (Index rank = 0; rank < c; ++rank)
                    for (Index tap = 0; tap < kernel; ++tap)
                        gradients.parameters.depthwise[stage][(edge(index) * c + rank) * kernel + tap] =
                            T(totals[rank * TAPS + tap]);
            }
    }

    const Cell<T>& cell;
    const Index source, edges, c;
    const CellGradients<T>& gradients;
    const SourceGradients<T> nearby;
    DirectGradients<T> direct;
    const Index columns;
    Partials<T> final_products, final_sums, hidden_products, hidden_sums, taps;
    std::vector<Linear<T>> finals, firsts;
};

template <class T> void Cell<T>::backward(const CellGradients<T>& gradients) const {
    for (Index input = 0; input < 2 && shape.input_gradients; ++input)
        prefer_large_pages(gradients.nodes[input], blocks * shape.channels * shape.height * shape.width * LANES);
    for (Index source = shape.nodes - 2; source >= 0; --source)
        BackwardSource<T>(*this, source, gradients).run();
}

}  // namespace pcdarts

// What reaches a source of a cell in the backward pass without a convolution: through pools, skips and the bypass.
#pragma once

#include "cell.h"
#include "forward.h"

namespace pcdarts {

// The gradients around one source: its own and those of its targets, which are complete.
template <class T> struct SourceGradients {
    SourceGradients(const Cell<T>& cell, Index source, const CellGradients<T>& gradients)
        : cell(cell), source(source), edges(cell.targets(source)), gradients(gradients) {}

    Index target(Index index) const { return cell.first_target(source) + index; }
    Index edge(Index index) const { return cell.edge(source, target(index)); }
    const T* gradient(Index index, Index block, Index channel) const {
        return cell.plane_of(gradients.output, target(index), block, cell.placed(channel));
    }
    T* own_gradient(Index block, Index channel) const {
        if (source >= 2) return cell.plane_of(gradients.output, source, block, channel);
        return gradients.nodes[source] +
               (block * cell.shape.channels + channel) * cell.shape.height * cell.shape.width * LANES;
    }

    const Cell<T>& cell;
    const Index source, edges;
    const CellGradients<T>& gradients;
};

template <class T> class DirectGradients {
public:
    explicit DirectGradients(const SourceGradients<T>& at)
        : at(at), cell(at.cell), source(at.source), edges(at.edges), c(at.cell.c) {}

    // The gradient of a pool at a pixel is Σ_edges weight r g + slope p + constant.
    void fold(const Partials<T>& final_sums) {
        for (auto* values : {&slopes_, &constants_}) values->assign(2 * cell.used, T(0));
        if (!cell.shape.training) return;
        for (Index index = 0; index < edges; ++index) {
            const std::vector<double> sums = final_sums.total(index);
            for (Index rank = 0; rank < c; ++rank)
                for (Index pool = 0; pool < 2; ++pool) {
                    if (!cell.computes(at.edge(index), MAX_POOL + pool)) continue;
                    const double mean = cell.pool_statistics(pool, 0, at.edge(index))[rank];
                    const double scale = cell.pool_statistics(pool, 1, at.edge(index))[rank];
                    const double weight = cell.weight(at.edge(index), MAX_POOL + pool) / cell.count;
                    const double slope = weight * scale * (sums[(1 + pool) * c + rank] - mean * sums[rank]);
                    const Index slot = pool * cell.used + cell.selected(at.edge(index), rank);
                    slopes_[slot] -= T(scale * scale * slope);
                    constants_[slot] += T(scale * scale * slope * mean - scale * weight * sums[rank]);
                }
        }
    }

    // Add to the gradient `own` of a sampled channel; `pool_gradient` is memory for a plane.
    void arrive(Index block, Index channel, T* own, T* pool_gradient) {
        const T* x = cell.node(source, block, channel);
        const Lanes<T> mask = present<T>(cell.shape.batch, block);
        for (Index pool = 0; pool < 2; ++pool) {
            if (!cell.some_compute(source, MAX_POOL + pool)) continue;
            const T* values = cell.pooled(pool, source, block, channel);
            const T slope = slopes_[pool * cell.used + channel], constant = constants_[pool * cell.used + channel];
            std::vector<const T*> planes{values};
            std::vector<T> weights{slope};
            for (Index index = 0; index < edges; ++index) {
                const Index rank = cell.rank(at.edge(index), channel);
                if (rank < 0 || !cell.computes(at.edge(index), MAX_POOL + pool)) continue;
                planes.push_back(at.gradient(index, block, channel));
                weights.push_back(cell.weight(at.edge(index), MAX_POOL + pool) *
                                  cell.pool_statistics(pool, 1, at.edge(index))[rank]);
            }
            weighted_sum(planes, weights, constant, 0, cell.pixels, pool_gradient);
            for (Index i = 0; i < cell.pixels * LANES && (block + 1) * LANES > cell.shape.batch; i += LANES)
                store(pool_gradient + i, load(pool_gradient + i) * mask);
            spread_pool(pool, x, values, pool_gradient, own);
        }
        pass(block, channel, true, own);
    }

    // Edges that let the channel pass: the bypass where it is not sampled, else the skip-connection.
    void pass(Index block, Index channel, bool adds, T* own) const {
        std::vector<const T*> planes;
        std::vector<T> weights;
        if (adds) {
            planes.push_back(own);
            weights.push_back(T(1));
        }
        for (Index index = 0; index < edges && !cell.strided(source); ++index) {
            const bool sampled = cell.rank(at.edge(index), channel) >= 0;
            if (sampled && !cell.computes(at.edge(index), SKIP)) continue;
            planes.push_back(at.gradient(index, block, channel));
            weights.push_back(sampled ? cell.weight(at.edge(index), SKIP) : cell.in.edge_weights[at.edge(index)]);
        }
        weighted_sum(planes, weights, T(0), 0, cell.height(source) * cell.width(source), own);
        for (Index index = 0; index < edges && cell.strided(source); ++index)
            if (cell.rank(at.edge(index), channel) < 0) halved(block, index, channel, own);
    }

private:
    void spread_pool(Index pool, const T* x, const T* values, const T* gradient, T* own) const {
        const Index height = cell.height(source), width = cell.width(source), stride = cell.strided(source) ? 2 : 1;
        for (Index y = 0; y < cell.out_height; ++y)
            for (Index column = 0; column < cell.out_width; ++column) {
                const Index pixel = (y * cell.out_width + column) * LANES;
                const Window window = window_3x3(y, column, stride, height, width);
                if (pool == 0)
                    largest_gradient(x, own, width, window, load(values + pixel), load(gradient + pixel));
                else
                    average_gradient(own, width, window, load(gradient + pixel));
            }
    }

    void halved(Index block, Index index, Index channel, T* own) const {
        const T *grad = at.gradient(index, block, channel), *x = cell.node(source, block, channel);
        const T weight = cell.in.edge_weights[at.edge(index)];
        for (Index y = 0; y < cell.out_height; ++y)
            for (Index column = 0; column < cell.out_width; ++column) {
                const Window window = window_2x2(y, column, cell.shape.height, cell.shape.width);
                largest_gradient(x, own, cell.shape.width, window, largest(x, cell.shape.width, window),
                                 weight * load(grad + (y * cell.out_width + column) * LANES));
            }
    }

    const SourceGradients<T>& at;
    const Cell<T>& cell;
    const Index source, edges, c;
    std::vector<T> slopes_, constants_;
};

}  // namespace pcdarts

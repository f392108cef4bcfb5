// One cell of the supernet: its sizes, its memory, and what forward and backward passes share.
//
// The words of these headers:
//   block     LANES images; lane i of every vector belongs to image i of the block (lanes.h).
//   plane     one channel of a block, [H', W'] vectors; a padded plane has a border of zeros (lanes.h).
//   pixels    pixels of a plane; `count` are those of the whole batch, which BatchNorm divides by.
//   source, target   the nodes that an edge leaves and enters.
//   strided   said of a source whose edges have stride 2: an input of a reduction cell.
//   c, C      sampled channels of an edge (C / k) and all channels of a node.
//   rank, channel    which of the c sampled channels of an edge; its place among the C of the source (`selected`).
//   placed    where a channel arrives in the target: the shuffle.
//   used      the first `used` channels of a source may be sampled by some edge: c with shuffles, else C.
//   bypass    the channels of an edge that are not sampled and pass it as they are.
//   stage     ReLU, depthwise convolution, 1x1 convolution, BatchNorm: an edge has six (enum Stage). Of an output of a
//             stage nothing is kept; kept is d, the output of its depthwise convolution (`depthwise`).
//   final     a stage whose output enters the mixture: TO_TARGET, and FINAL_SKIP on a strided edge.
//   first, second    the stages of a separable convolution; `hidden` is the ReLU of the first one's output.
//   fold      the 1x1 convolution P and the BatchNorm of a stage as one map A d + b (fold.h).
//   moments   Σ d dᵀ over pixels, from which a fold is made; `products` are Σ g dᵀ, from which its gradient is.
//   parity    the even or the odd pixels of a strided source, which its skip-connections read.
//   taps      the k x k weights of a depthwise convolution.
//
// An example with numbers: two images of one pixel, C = 2, k = 2, so c = 1: an edge samples channel 0, channel 1 is its
// bypass. In the source x = (3, -1) and bypass = (5, 7), image by image. On the edge dil_conv_3x3 weighs 0.6,
// skip_connect 0.3, `none` 0.1 and all others 0; the edge weight is 0.5. The middle tap of the convolution is 2, the
// others meet no pixel; P = 0.5.
//   forward:  ReLU x = (3, 0), so d = (6, 0): m = 3, S = (36 + 0) / 2 - 9 = 9.
//             BatchNorm(P d) divides by √(P S P) = 1.5: r = 0.667, A = r P = 0.333, b = -A m = -1, and z = A d + b is
//             (1, -1), which is not computed: the edge sends 0.5 (0.6 A d + 0.6 b + 0.3 x) = (0.75, -0.45) as channel 0,
//             and 0.5 (5, 7) = (2.5, 3.5) as channel 1.
//   backward: let the gradient of channel 0 in the target be g = (1, 0). Σ g d = 6 and Σ g = 1, so that of the weight of
//             dil_conv_3x3 is 0.5 (A 6 + b 1) = 0.5, which is 0.5 Σ g z.
//             With 0.5 * 0.6 g in place of g, γ = (A 1.8 + b 0.3) / 2 = 0.15, so Q = -A γ A = -0.0167 and
//             u = -A (0.3 / 2 + γ b) = 0. The gradient of d is A 0.3 g + Q d + u = (0.1 - 0.1, 0) = (0, 0): two numbers
//             are normalised to 1 and -1 whatever they are.
#pragma once

#include <type_traits>

#include "depthwise.h"
#include "fold.h"
#include "lanes.h"
#include "pooling.h"
#include "products.h"
#include "protocol.h"
#include "threads.h"

namespace pcdarts {

constexpr Index FROM_SOURCE[] = {SEP_3_FIRST, SEP_5_FIRST, DIL_3, DIL_5};
constexpr Index TO_TARGET[] = {SEP_3_SECOND, SEP_5_SECOND, DIL_3, DIL_5};
constexpr Index FINALS = 4, FINAL_SKIP = 4;  // of a strided edge the skip-connection is a fifth final convolution
constexpr Index TAPS = 25;
constexpr Index kernel_size(Index stage) {
    return stage == SEP_5_FIRST || stage == SEP_5_SECOND || stage == DIL_5 ? 5 : 3;
}

// The order of primitives in op_weights [edges, 8]; `none` comes first and costs nothing.
constexpr Index PRIMITIVES = 8, MAX_POOL = 1, AVG_POOL = 2, SKIP = 3, FIRST_CONVOLUTION = 4;
constexpr Index stage_primitive(Index stage) { return FIRST_CONVOLUTION + (stage < DIL_3 ? stage / 2 : stage - 2); }

// Call body(size, dilation) with compile-time constants.
template <class Body> inline void with_kernel(Index stage, Body body) {
    using std::integral_constant;
    switch (stage) {
        case DIL_3: return body(integral_constant<int, 3>{}, integral_constant<int, 2>{});
        case DIL_5: return body(integral_constant<int, 5>{}, integral_constant<int, 2>{});
        case SEP_3_FIRST:
        case SEP_3_SECOND: return body(integral_constant<int, 3>{}, integral_constant<int, 1>{});
        default: return body(integral_constant<int, 5>{}, integral_constant<int, 1>{});
    }
}

template <class T> class Cell {
public:
    Cell(const CellShape& shape, const CellTensors<T>& tensors)
        : shape(shape), in(tensors), output(tensors.output), blocks((shape.batch + LANES - 1) / LANES),
          edges(shape.nodes * (shape.nodes - 1) / 2 - 1), c(shape.sampled),
          out_height((shape.height + shape.stride - 1) / shape.stride),
          out_width((shape.width + shape.stride - 1) / shape.stride), pixels(out_height * out_width),
          used(shape.shuffles ? c : shape.channels), count(double(shape.batch) * pixels) {
        rank_.assign(edges * shape.channels, -1);
        if (in.selected != nullptr)
            for (Index edge = 0; edge < edges; ++edge)
                for (Index rank = 0; rank < c; ++rank)
                    rank_[edge * shape.channels + in.selected[edge * c + rank]] = rank;
    }

    const CellShape shape;
    const CellTensors<T> in;
    T* const output;
    const Index blocks, edges, c, out_height, out_width, pixels;
    const Index used;  // channels of a node that some edge may sample: the first `used` ones
    const double count;  // pixels of the whole batch

    bool strided(Index source) const { return source < 2 && shape.stride == 2; }
    Index height(Index node) const { return node < 2 ? shape.height : out_height; }
    Index width(Index node) const { return node < 2 ? shape.width : out_width; }
    Index first_target(Index source) const { return std::max<Index>(source + 1, 2); }
    Index targets(Index source) const { return shape.nodes - first_target(source); }
    static Index edge(Index source, Index target) { return target * (target - 1) / 2 - 1 + source; }
    Index selected(Index edge, Index rank) const { return in.selected[edge * c + rank]; }
    Index rank(Index edge, Index channel) const { return rank_[edge * shape.channels + channel]; }  // or -1
    // So many rows of a product are made at once as padded planes: they stay in the second-level cache, and what the
    // product reads is read once for all of them.
    Index rows_at_once() const {
        constexpr Index cached = 1 << 17;
        return std::min(c, std::clamp<Index>(cached / padded_size(out_height, out_width) / 4 * 4, 4, 16));
    }
    T weight(Index edge, Index primitive) const {
        return in.op_weights[edge * PRIMITIVES + primitive] * in.edge_weights[edge];
    }
    // Whether an operation is computed on an edge. Where it is not, its weight is zero: none of its memory is written or
    // read, and its running statistics and its gradients stay what they were.
    bool computes(Index edge, Index primitive) const { return in.active[edge * PRIMITIVES + primitive] != 0; }
    bool computes_stage(Index edge, Index stage) const { return computes(edge, stage_primitive(stage)); }
    bool computes_final(Index edge, Index final) const { return computes(edge, final_primitive(final)); }
    // Whether some edge that leaves a source computes an operation.
    bool some_compute(Index source, Index primitive) const {
        for (Index target = first_target(source); target < shape.nodes; ++target)
            if (computes(edge(source, target), primitive)) return true;
        return false;
    }
    // Where channel `channel` of a source goes in a target: ShuffleNet's shuffle in k groups, or where it was.
    Index placed(Index channel) const {
        if (!shape.shuffles) return channel;
        const Index groups = shape.channels / c;
        return channel % c * groups + channel / c;
    }

    const T* node(Index node, Index block, Index channel) const {
        if (node < 2) return in.nodes[node] + (block * shape.channels + channel) * shape.height * shape.width * LANES;
        return plane_of(output, node, block, channel);
    }
    // In a tensor like the output.
    template <class P> P* plane_of(P* tensor, Index node, Index block, Index channel) const {
        return tensor + ((block * (shape.nodes - 2) + node - 2) * shape.channels + channel) * pixels * LANES;
    }

    // What the forward pass leaves for the backward pass.
    T* depthwise(Index stage, Index edge, Index block, Index rank) const {
        return in.saved + (((stage * edges + edge) * blocks + block) * c + rank) * pixels * LANES;
    }
    T* pooled(Index pool, Index source, Index block, Index channel) const {
        return in.saved + depthwise_size() +
               (((pool * (shape.nodes - 1) + source) * blocks + block) * used + channel) * pixels * LANES;
    }
    // Even (0) or odd (1) pixels of a rectified source of stride 2.
    T* parity(Index odd, Index source, Index block, Index channel) const {
        return in.saved + depthwise_size() + pooled_size() +
               (((odd * 2 + source) * blocks + block) * used + channel) * pixels * LANES;
    }
    Fold<T> fold(Index stage, Index edge) const {
        return Fold<T>::at(small() + (stage * edges + edge) * Fold<T>::size(c, c), c, c);
    }
    Fold<T> skip_fold(Index edge) const {
        return Fold<T>::at(small() + STAGES * edges * Fold<T>::size(c, c) + edge * Fold<T>::size(c, 2 * c), c, 2 * c);
    }
    // Mean (0) or scale (1) of a pool on an edge, [c].
    T* pool_statistics(Index pool, Index statistic, Index edge) const {
        return small() + fold_size() + ((pool * 2 + statistic) * edges + edge) * c;
    }
    Index output_size() const { return blocks * (shape.nodes - 2) * shape.channels * pixels * LANES; }
    Index saved_size() const { return depthwise_size() + pooled_size() + parity_size() + fold_size() + 4 * edges * c; }

    // The planes that a final convolution of an edge mixes, c of them, or 2c for a strided skip-connection.
    void final_planes(Index final, Index source, Index edge, Index block, std::vector<const T*>& planes) const {
        if (final == FINAL_SKIP) {
            for (Index odd = 0; odd < 2; ++odd)
                for (Index rank = 0; rank < c; ++rank)
                    planes.push_back(parity(odd, source, block, selected(edge, rank)));
        } else {
            stage_planes(TO_TARGET[final], edge, block, planes);
        }
    }
    void stage_planes(Index stage, Index edge, Index block, std::vector<const T*>& planes) const {
        for (Index rank = 0; rank < c; ++rank) planes.push_back(depthwise(stage, edge, block, rank));
    }
    Index finals(Index source) const { return FINALS + (strided(source) ? 1 : 0); }
    Index final_columns(Index final) const { return final == FINAL_SKIP ? 2 * c : c; }
    Fold<T> final_fold(Index final, Index edge) const {
        return final == FINAL_SKIP ? skip_fold(edge) : fold(TO_TARGET[final], edge);
    }
    static Index final_primitive(Index final) { return final == FINAL_SKIP ? SKIP : FIRST_CONVOLUTION + final; }
    // The strided skip-connection as one 1x1 convolution [c, 2c] of the even and the odd pixels.
    std::vector<T> skip_weight(Index edge) const {
        std::vector<T> weight(2 * c * c, T(0));
        const Index position = strided_position(edge), half = c / 2 * c;
        for (Index row = 0; row < c / 2; ++row) {
            std::copy_n(in.parameters.even + position * half + row * c, c, &weight[row * 2 * c]);
            std::copy_n(in.parameters.odd + position * half + row * c, c, &weight[(c / 2 + row) * 2 * c + c]);
        }
        return weight;
    }
    // The index of an edge from an input node among these edges.
    static Index strided_position(Index edge) {
        Index target = 2;
        while (Cell::edge(0, target + 1) <= edge) ++target;
        return 2 * (target - 2) + edge - Cell::edge(0, target);
    }

    void forward();
    void backward(const CellGradients<T>& gradients) const;
    Index hidden_size() const { return 2 * targets(0) * blocks * c * pixels * LANES; }

private:
    Index depthwise_size() const { return STAGES * edges * blocks * c * pixels * LANES; }
    Index pooled_size() const { return 2 * (shape.nodes - 1) * blocks * used * pixels * LANES; }
    Index parity_size() const { return shape.stride == 2 ? 4 * blocks * used * pixels * LANES : 0; }
    Index fold_size() const {
        return STAGES * edges * Fold<T>::size(c, c) + (shape.stride == 2 ? edges * Fold<T>::size(c, 2 * c) : 0);
    }
    T* small() const { return in.saved + depthwise_size() + pooled_size() + parity_size(); }

    std::vector<Index> rank_;
};

// Copy a plane into a padded one, rectified.
template <class T> inline void pad_rectified(const T* plane, T* padded, Index height, Index width) {
    const Index row = padded_row(width), border = PADDING * LANES;
    std::fill_n(padded, PADDING * row, T(0));
    std::fill_n(padded + (height + PADDING) * row, PADDING * row, T(0));
    for (Index y = 0; y < height; ++y) {
        T* line = padded + (y + PADDING) * row;
        std::fill_n(line, border, T(0));
        rectify(plane + y * width * LANES, line + border, width);
        std::fill_n(line + border + width * LANES, border, T(0));
    }
}

}  // namespace pcdarts

// What Python gives to the kernels: numbers and pointers, each in a field with a name. native/protocol.py has the same
// structures, and `layout` says where every field lies, so that a library whose structures differ is never called.
#pragma once

#include <cstddef>
#include <type_traits>

#include "lanes.h"
#include "text.h"

namespace pcdarts {

// The stages of the convolutions, by the order of their parameters; SECOND follows FIRST in a separable convolution.
enum Stage : Index { SEP_3_FIRST, SEP_3_SECOND, SEP_5_FIRST, SEP_5_SECOND, DIL_3, DIL_5, STAGES };

// Running statistics: those of the six stages, then the two pools and the strided skip-connection.
constexpr Index NORMS = 9, POOL_NORM = 6, SKIP_NORM = 8;

struct CellShape {
    Index batch, nodes, channels, sampled, height, width, stride;
    Index shuffles;  // the sampled channels are the first ones, and nodes are shuffled
    Index training, weight_gradients, mixture_gradients, input_gradients;
};

// How many numbers the forward pass saves, and how many more the backward pass works with.
struct CellSizes {
    Index saved, hidden;
};

// The parameters of a cell, stacked over its edges; in CellGradients the memory for their gradients.
template <class T> struct CellParameters {
    T* depthwise[STAGES];  // [edges, c, k, k]
    T* pointwise[STAGES];  // [edges, c, c]
    T* even;               // [strided edges, c / 2, c]; null where no edge is strided
    T* odd;
};

template <class T> struct CellTensors {
    const T* nodes[2];  // [blocks, C, H, W, LANES]
    CellParameters<T> parameters;
    T* running_mean[NORMS];  // [edges, c]; null in a backward pass, and SKIP_NORM where no edge is strided
    T* running_var[NORMS];
    const T* op_weights;    // [edges, 8]
    const T* edge_weights;  // [edges]
    const Index* selected;  // [edges, c]: the channels of S in Eq. (1)
    const Index* active;    // [edges, 8]: 1 for an operation that is computed on an edge, 0 for one of weight zero
    T* output;              // [blocks, intermediate nodes * C, H', W', LANES]
    T* saved;               // memory for CellSizes::saved numbers
};

// Null are all fields whose gradients CellShape does not ask for.
template <class T> struct CellGradients {
    T* output;    // that of the output, which is given and used up
    T* nodes[2];  // as in CellTensors
    CellParameters<T> parameters;  // given as zeros: nothing is written for an operation that is not computed
    T* op_weights;    // given as zeros
    T* edge_weights;  // given as zeros
    T* hidden;        // memory for CellSizes::hidden numbers
};

struct PreprocessShape {
    Index batch, in_channels, out_channels, height, width, stride, training, weight_gradients;
};

template <class T> struct PreprocessTensors {
    const T* input;       // [blocks, in, H, W, LANES]
    const T* weights[2];  // [out, in], null; at stride 2 of even pixels [out - out / 2, in], of odd ones [out / 2, in]
    T* output;            // [blocks, out, H', W', LANES]
    T* running_mean;      // [out]; null in a backward pass
    T* running_var;
    T* statistics;  // [2, out]: mean and scale of the normalisation
};

template <class T> struct PreprocessGradients {
    const T* output;  // that of the output, which is given
    T* input;
    T* weights[2];  // null unless PreprocessShape asks for them
};

// A line "structure size" for every structure, then "field offset size kind" for each of its fields.
inline Text layout() {
    Text text;
#define PCDARTS_STRUCTURE(NAME) text << #NAME << ' ' << sizeof(NAME) << '\n';
#define PCDARTS_FIELD(NAME, FIELD)                                                                                     \
    {                                                                                                                  \
        using Type = std::remove_extent_t<decltype(NAME::FIELD)>;                                                      \
        text << #FIELD << ' ' << offsetof(NAME, FIELD) << ' ' << sizeof(NAME::FIELD) << ' '                            \
             << (std::is_pointer<Type>() ? "pointer" : std::is_integral<Type>() ? "number" : "structure") << '\n';     \
    }
    using CellParameters = pcdarts::CellParameters<float>;
    using CellTensors = pcdarts::CellTensors<float>;
    using CellGradients = pcdarts::CellGradients<float>;
    using PreprocessTensors = pcdarts::PreprocessTensors<float>;
    using PreprocessGradients = pcdarts::PreprocessGradients<float>;
    PCDARTS_STRUCTURE(CellShape)
    PCDARTS_FIELD(CellShape, batch)
    PCDARTS_FIELD(CellShape, nodes)
    PCDARTS_FIELD(CellShape, channels)
    PCDARTS_FIELD(CellShape, sampled)
    PCDARTS_FIELD(CellShape, height)
    PCDARTS_FIELD(CellShape, width)
    PCDARTS_FIELD(CellShape, stride)
    PCDARTS_FIELD(CellShape, shuffles)
    PCDARTS_FIELD(CellShape, training)
    PCDARTS_FIELD(CellShape, weight_gradients)
    PCDARTS_FIELD(CellShape, mixture_gradients)
    PCDARTS_FIELD(CellShape, input_gradients)
    PCDARTS_STRUCTURE(CellSizes)
    PCDARTS_FIELD(CellSizes, saved)
    PCDARTS_FIELD(CellSizes, hidden)
    PCDARTS_STRUCTURE(CellParameters)
    PCDARTS_FIELD(CellParameters, depthwise)
    PCDARTS_FIELD(CellParameters, pointwise)
    PCDARTS_FIELD(CellParameters, even)
    PCDARTS_FIELD(CellParameters, odd)
    PCDARTS_STRUCTURE(CellTensors)
    PCDARTS_FIELD(CellTensors, nodes)
    PCDARTS_FIELD(CellTensors, parameters)
    PCDARTS_FIELD(CellTensors, running_mean)
    PCDARTS_FIELD(CellTensors, running_var)
    PCDARTS_FIELD(CellTensors, op_weights)
    PCDARTS_FIELD(CellTensors, edge_weights)
    PCDARTS_FIELD(CellTensors, selected)
    PCDARTS_FIELD(CellTensors, active)
    PCDARTS_FIELD(CellTensors, output)
    PCDARTS_FIELD(CellTensors, saved)
    PCDARTS_STRUCTURE(CellGradients)
    PCDARTS_FIELD(CellGradients, output)
    PCDARTS_FIELD(CellGradients, nodes)
    PCDARTS_FIELD(CellGradients, parameters)
    PCDARTS_FIELD(CellGradients, op_weights)
    PCDARTS_FIELD(CellGradients, edge_weights)
    PCDARTS_FIELD(CellGradients, hidden)
    PCDARTS_STRUCTURE(PreprocessShape)
    PCDARTS_FIELD(PreprocessShape, batch)
    PCDARTS_FIELD(PreprocessShape, in_channels)
    PCDARTS_FIELD(PreprocessShape, out_channels)
    PCDARTS_FIELD(PreprocessShape, height)
    PCDARTS_FIELD(PreprocessShape, width)
    PCDARTS_FIELD(PreprocessShape, stride)
    PCDARTS_FIELD(PreprocessShape, training)
    PCDARTS_FIELD(PreprocessShape, weight_gradients)
    PCDARTS_STRUCTURE(PreprocessTensors)
    PCDARTS_FIELD(PreprocessTensors, input)
    PCDARTS_FIELD(PreprocessTensors, weights)
    PCDARTS_FIELD(PreprocessTensors, output)
    PCDARTS_FIELD(PreprocessTensors, running_mean)
    PCDARTS_FIELD(PreprocessTensors, running_var)
    PCDARTS_FIELD(PreprocessTensors, statistics)
    PCDARTS_STRUCTURE(PreprocessGradients)
    PCDARTS_FIELD(PreprocessGradients, output)
    PCDARTS_FIELD(PreprocessGradients, input)
    PCDARTS_FIELD(PreprocessGradients, weights)
#undef PCDARTS_FIELD
#undef PCDARTS_STRUCTURE
    return text;
}

}  // namespace pcdarts

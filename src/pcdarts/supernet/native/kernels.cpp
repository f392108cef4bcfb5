// The functions that Python calls, in single and in double precision; they return false where memory ran out. See
// native/cells.py.
#include "backward.h"
#include "forward.h"
#include "preprocess.h"

using namespace pcdarts;

namespace {

// The pointers of CellInputs, in order, from one list.
template <class T> CellParameters<T> parameters(void* const*& at) {
    CellParameters<T> result;
    for (T*& pointer : result.depthwise) pointer = static_cast<T*>(*at++);
    for (T*& pointer : result.pointwise) pointer = static_cast<T*>(*at++);
    result.even = static_cast<T*>(*at++);
    result.odd = static_cast<T*>(*at++);
    return result;
}

template <class T> CellInputs<T> inputs(void* const* at) {
    CellInputs<T> result;
    for (const T*& node : result.nodes) node = static_cast<const T*>(*at++);
    result.parameters = parameters<T>(at);
    for (T*& pointer : result.running_mean) pointer = static_cast<T*>(*at++);
    for (T*& pointer : result.running_var) pointer = static_cast<T*>(*at++);
    result.op_weights = static_cast<const T*>(*at++);
    result.edge_weights = static_cast<const T*>(*at++);
    result.selected = static_cast<const Index*>(*at++);
    return result;
}

// How many numbers the forward pass saves, and how many the backward pass works with besides.
template <class T> void sizes(const CellShape& shape, Index* result) {
    const Cell<T> cell(shape, CellInputs<T>{}, nullptr, nullptr);
    result[0] = cell.saved_size();
    result[1] = cell.hidden_size();
}

template <class T> void forward(const CellShape& shape, void* const* pointers, T* output, T* saved) {
    Cell<T>(shape, inputs<T>(pointers), output, saved).forward();
}

template <class T> void backward(const CellShape& shape, void* const* pointers, T* output, T* saved,
                                 void* const* gradients, T* node_gradients, T* const* input_gradients, T* op_gradients,
                                 T* edge_gradients, T* hidden) {
    const CellParameters<T> parameter_gradients = parameters<T>(gradients);
    Cell<T>(shape, inputs<T>(pointers), output, saved)
        .backward(parameter_gradients, node_gradients, input_gradients, op_gradients, edge_gradients, hidden);
}

// Whether memory sufficed: Python must not see an exception.
template <class Body> bool succeeds(Body body) {
    try {
        body();
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

}  // namespace

#define PCDARTS_EXPORT(T, NAME)                                                                                        \
    bool cell_sizes_##NAME(const CellShape* shape, Index* result) {                                                    \
        return succeeds([&] { sizes<T>(*shape, result); });                                                            \
    }                                                                                                                  \
    bool cell_forward_##NAME(const CellShape* shape, void* const* pointers, T* output, T* saved) {                     \
        return succeeds([&] { forward<T>(*shape, pointers, output, saved); });                                         \
    }                                                                                                                  \
    bool cell_backward_##NAME(const CellShape* shape, void* const* pointers, T* output, T* saved,                      \
                              void* const* gradients, T* node_gradients, T* const* input_gradients, T* op_gradients,   \
                              T* edge_gradients, T* hidden) {                                                          \
        return succeeds([&] {                                                                                          \
            backward<T>(*shape, pointers, output, saved, gradients, node_gradients, input_gradients, op_gradients,     \
                        edge_gradients, hidden);                                                                       \
        });                                                                                                            \
    }                                                                                                                  \
    bool preprocess_forward_##NAME(const PreprocessShape* shape, const T* input, const T* const* weights, T* output,   \
                                   T* running_mean, T* running_var, T* statistics) {                                   \
        return succeeds([&] {                                                                                          \
            Preprocess<T>(*shape, input, weights, output).forward(running_mean, running_var, statistics);              \
        });                                                                                                            \
    }                                                                                                                  \
    bool preprocess_backward_##NAME(const PreprocessShape* shape, const T* input, const T* const* weights, T* output,  \
                                    const T* gradient, const T* statistics, T* input_gradient,                         \
                                    T* const* weight_gradients) {                                                      \
        return succeeds([&] {                                                                                          \
            Preprocess<T>(*shape, input, weights, output)                                                              \
                .backward(gradient, statistics, input_gradient, weight_gradients);                                     \
        });                                                                                                            \
    }

extern "C" {
PCDARTS_EXPORT(float, float32)
PCDARTS_EXPORT(double, float64)
}

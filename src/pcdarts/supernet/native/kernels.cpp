// The functions that Python calls, in single and in double precision; they return false where memory ran out. What they
// take is described in protocol.h.
#include "backward.h"
#include "forward.h"
#include "preprocess.h"
#include "protocol.h"
#include "text.h"

using namespace pcdarts;

namespace {

// What this is compiled for, in words.
Text description() {
    Text text;
    text << PROCESSOR.name << ", " << std::size_t(LANES) << " images to a vector, tiles of " << std::size_t(TILE_ROWS)
         << 'x' << std::size_t(TILE_COLUMNS<float>) << " vectors in " << std::size_t(PROCESSOR.registers)
         << " registers";
    return text;
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
    bool cell_sizes_##NAME(const CellShape* shape, CellSizes* sizes) {                                                 \
        return succeeds([&] {                                                                                          \
            const Cell<T> cell(*shape, CellTensors<T>{});                                                              \
            *sizes = {cell.saved_size(), cell.hidden_size()};                                                          \
        });                                                                                                            \
    }                                                                                                                  \
    bool cell_forward_##NAME(const CellShape* shape, const CellTensors<T>* tensors) {                                  \
        return succeeds([&] { Cell<T>(*shape, *tensors).forward(); });                                                 \
    }                                                                                                                  \
    bool cell_backward_##NAME(const CellShape* shape, const CellTensors<T>* tensors,                                   \
                              const CellGradients<T>* gradients) {                                                     \
        return succeeds([&] { Cell<T>(*shape, *tensors).backward(*gradients); });                                      \
    }                                                                                                                  \
    bool preprocess_forward_##NAME(const PreprocessShape* shape, const PreprocessTensors<T>* tensors) {                \
        return succeeds([&] { Preprocess<T>(*shape, *tensors).forward(); });                                           \
    }                                                                                                                  \
    bool preprocess_backward_##NAME(const PreprocessShape* shape, const PreprocessTensors<T>* tensors,                 \
                                    const PreprocessGradients<T>* gradients) {                                         \
        return succeeds([&] { Preprocess<T>(*shape, *tensors).backward(*gradients); });                                \
    }

extern "C" {
int pcdarts_lanes() { return LANES; }
const char* pcdarts_description() {
    static Text text = description();
    static const char* const words = text.end();
    return words;
}
const char* pcdarts_layout() {
    static Text text = layout();
    static const char* const words = text.end();
    return words;
}
PCDARTS_EXPORT(float, float32)
PCDARTS_EXPORT(double, float64)
}

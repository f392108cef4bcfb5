// The threads of PyTorch, whichever compiler made the kernels.
//
// PyTorch brings an OpenMP runtime on Linux and macOS, GNU's or LLVM's. Both have the function that `#pragma omp
// parallel` becomes in g++, and it is looked up where PyTorch has loaded it: one pool of threads, as many as
// `torch.set_num_threads` says, and no compiler needs OpenMP of its own.
#pragma once

#include <atomic>
#include <new>

#include "lanes.h"

#ifndef _WIN32
#include <dlfcn.h>
#endif

namespace pcdarts {

// Runs `body(data)` once in each of the threads: as many as set (0), without flags (0).
using RunInThreads = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

// Null where there is no such runtime: the calling thread does all the work.
inline RunInThreads run_in_threads() {
#ifdef _WIN32
    return nullptr;
#else
    static const RunInThreads found = reinterpret_cast<RunInThreads>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    return found;
#endif
}

// Call body(item) for each of `items`, which the threads take one by one. Where memory runs out, std::bad_alloc is
// thrown by the calling thread: none can be thrown across the runtime.
template <class Body> void parallel(Index items, const Body& body) {
    struct Work {
        const Body& body;
        const Index items;
        std::atomic<Index> next{0};
        std::atomic<bool> failed{false};
        static void share(void* data) {
            Work& work = *static_cast<Work*>(data);
            for (Index item; (item = work.next.fetch_add(1, std::memory_order_relaxed)) < work.items;) {
                try {
                    work.body(item);
                } catch (const std::bad_alloc&) {
                    work.failed = true;
                }
            }
        }
    };
    Work work{body, items};
    if (const RunInThreads run = run_in_threads(); run != nullptr && items > 1)
        run(Work::share, &work, 0, 0);
    else
        Work::share(&work);
    if (work.failed) throw std::bad_alloc();
}

}  // namespace pcdarts

// The kernels' only header: as CUDA it is nearly nothing; as host C++ it stands in for the few words that they use, so that
// the same files run in the tests of a machine without a GPU. There a block's threads are threads and its barrier is a barrier.
#pragma once

// A frame in NV12 (step 2, v = u + 1) or I420 (step 1); pitches are in bytes, u and v have ceil(width / 2) columns.
struct Planes {
    unsigned char *y, *u, *v;
    int width, height, pitch, half_pitch, step;
};

#ifdef __CUDACC__

#include <cuda_fp16.h>
#define KERNEL(name) extern "C" __global__ void name
#define ENTRY(name)

#else

#include <atomic>
#include <barrier>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#define __device__ inline
#define __shared__ static
#define __restrict__
#define KERNEL(name) static void name
// By its name, for what stands in for the driver.
#define ENTRY(name) \
    static const auto entry_##name = kernels().emplace( \
        #name, [](void** args, unsigned x, unsigned y, unsigned threads) { return launch(name, args, x, y, threads); });

struct Index { unsigned x, y; };
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;
static std::unique_ptr<std::barrier<>> block_barrier;

static inline void __syncthreads() { block_barrier->arrive_and_wait(); }
static inline int atomicAdd(int* at, int more) { return std::atomic_ref<int>(*at).fetch_add(more); }
static inline unsigned __float_as_uint(float value) { unsigned bits; std::memcpy(&bits, &value, 4); return bits; }
using std::isfinite;
using std::isnan;
using std::min;
using std::max;

// IEEE 754 binary16, rounded to the nearest, ties to even.
struct half {
    unsigned short bits;
};

static inline half __float2half(float value) {
    const unsigned f = __float_as_uint(value), sign = f >> 16 & 0x8000;
    const float size = std::fabs(value);
    if (!(size < 65520.f)) return {(unsigned short)(sign | (std::isnan(value) ? 0x7e00 : 0x7c00))};
    if (size < 6.103515625e-05f) return {(unsigned short)(sign | (unsigned)std::nearbyint(size * 16777216.f))};
    const unsigned kept = (f & 0x7fffffff) - (112u << 23);
    return {(unsigned short)(sign | (kept + 0xfff + (kept >> 13 & 1)) >> 13)};
}

static inline float __half2float(half value) {
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
               : exponent ? std::ldexp(1024.f + fraction, exponent - 25) : std::ldexp((float)fraction, -24);
    return value.bits & 0x8000 ? -size : size;
}

// What a kernel does once its arguments, which come as addresses, are taken.
using Kernel = std::function<std::function<void()>(void** args, unsigned x, unsigned y, unsigned threads)>;

static std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

template <class... A, std::size_t... I>
static std::tuple<A...> taken(void** args, std::index_sequence<I...>) { return {*static_cast<A*>(args[I])...}; }

template <class... A>
static std::function<void()> launch(void (*kernel)(A...), void** args, unsigned x, unsigned y, unsigned threads) {
    return [=, given = taken<A...>(args, std::index_sequence_for<A...>{})] {
        block_barrier = std::make_unique<std::barrier<>>(threads);
        for (unsigned block = 0; block < x * y; block++) {
            std::vector<std::thread> running;
            for (unsigned thread = 0; thread < threads; thread++)
                running.emplace_back([=, &given] {
                    threadIdx = {thread, 0}, blockIdx = {block % x, block / x}, blockDim = {threads, 1}, gridDim = {x, y};
                    std::apply(kernel, given);
                });
            for (std::thread& one : running) one.join();
        }
    };
}

#endif

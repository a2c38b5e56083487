// NVIDIA's driver without a GPU: as much of libcuda as Fancam, pycuda and cuda-bindings call, over this machine's memory. The kernels
// are those of engines/runtimes/kernels, built as host C++.
//
// What is added to a stream waits until that stream is waited for, and memory is full of what nobody wrote: who reads too early or
// forgets a copy sees it. (The default stream does everything at once.) Without a context that is current nothing is done, and
// during a capture nothing is allocated or waited for. Source of names and numbers: cuda.h of CUDA 13.
#include "kernels.cu"

#include <cstdlib>
#include <dlfcn.h>
#include <set>

using Work = std::function<void()>;

enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500,
       NOT_IN_CAPTURE = 900, CAPTURE_SPOILT = 901 };
enum { FATBIN = 0xBA55ED50, ONLY_CONTEXT = 1, MOST_THREADS = 5, MOST_BLOCKS = 3 };

struct Stream {
    std::vector<Work> waiting;
};

struct Graph {
    std::vector<Work> nodes;
};

static thread_local std::vector<void*> contexts;
static std::set<Stream*> streams;
static Stream* capturing;
static bool spoilt;
static std::vector<Work> captured;

// What tests ask about.
extern "C" {
int emulated_retained, emulated_allocated, emulated_streams, emulated_graphs, emulated_launches;
int emulated_depth() { return contexts.size(); }
}

#define API extern "C" int
#define IN_CONTEXT if (contexts.empty() || !emulated_retained) return INVALID_CONTEXT
#define NOT_CAPTURED IN_CONTEXT; if (capturing) return spoilt = true, NOT_IN_CAPTURE

static int add(Stream* stream, Work work) {
    if (stream && stream == capturing) captured.push_back(std::move(work));
    else if (stream) stream->waiting.push_back(std::move(work));
    else work();
    return 0;
}

static void finish(Stream& stream) {
    for (const Work& work : std::exchange(stream.waiting, {})) work();
}

API cuInit(unsigned) { return 0; }
API cuDeviceGet(int* device, int number) { return *device = number, number == 0 ? 0 : INVALID_DEVICE; }
API cuDevicePrimaryCtxRetain(void** context, int) { return *context = (void*)ONLY_CONTEXT, emulated_retained++, 0; }
API cuDevicePrimaryCtxRelease_v2(int) { return emulated_retained--, 0; }

API cuCtxPushCurrent_v2(void* context) { return contexts.push_back(context), 0; }
API cuCtxPopCurrent_v2(void** context) {
    if (contexts.empty()) return INVALID_CONTEXT;
    *context = contexts.back();
    return contexts.pop_back(), 0;
}
static void finish_all() {
    for (Stream* stream : streams) finish(*stream);
}
API cuCtxSynchronize() { NOT_CAPTURED; return finish_all(), 0; }

API cuStreamCreate(Stream** stream, unsigned) {
    NOT_CAPTURED;
    return streams.insert(*stream = new Stream), emulated_streams++, 0;
}
API cuStreamDestroy_v2(Stream* stream) {
    IN_CONTEXT;
    finish(*stream), streams.erase(stream);
    return delete stream, emulated_streams--, 0;
}
API cuStreamSynchronize(Stream* stream) { NOT_CAPTURED; if (stream) finish(*stream); return 0; }

static int allocated(void** at, size_t size) {
    NOT_CAPTURED;
    if (size == 0) return INVALID_VALUE;
    if (!(*at = std::aligned_alloc(256, (size + 255) / 256 * 256))) return OUT_OF_MEMORY;
    return std::memset(*at, 0xEE, size), emulated_allocated++, 0;
}
static int freed(void* at) {
    NOT_CAPTURED;
    finish_all();
    std::free(at);
    return emulated_allocated--, 0;
}

API cuMemAlloc_v2(void** at, size_t size) { return allocated(at, size); }
API cuMemAllocManaged(void** at, size_t size, unsigned) { return allocated(at, size); }
API cuMemAllocHost_v2(void** at, size_t size) { return allocated(at, size); }
API cuMemHostAlloc(void** at, size_t size, unsigned) { return allocated(at, size); }
API cuMemFree_v2(void* at) { return freed(at); }
API cuMemFreeHost(void* at) { return freed(at); }

static int copied(void* to, const void* from, size_t size, Stream* stream) {
    IN_CONTEXT;
    return add(stream, [=] { std::memcpy(to, from, size); });
}
API cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t size, Stream* stream) { return copied(to, from, size, stream); }
API cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t size, Stream* stream) { return copied(to, from, size, stream); }

API cuModuleLoadData(const void** module, const void* image) {
    NOT_CAPTURED;
    unsigned magic;
    std::memcpy(&magic, image, sizeof magic);
    return *module = image, magic == FATBIN ? 0 : INVALID_IMAGE;
}
API cuModuleGetFunction(Kernel** function, void*, const char* name) {
    IN_CONTEXT;
    const auto found = kernels().find(name);
    if (found == kernels().end()) return NOT_FOUND;
    return *function = &found->second, 0;
}
// All of our kernels step over their whole picture, so fewer blocks and threads do the same, and a barrier that is missing still shows.
API cuLaunchKernel(Kernel* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned block_y, unsigned block_z,
                   unsigned shared, Stream* stream, void** args, void** extra) {
    IN_CONTEXT;
    if (!x || !y || y > 65535 || !threads || threads > 1024 || z * block_y * block_z != 1 || shared || extra) return INVALID_VALUE;
    return add(stream, (*function)(args, min(x, (unsigned)MOST_BLOCKS), y, min(threads, (unsigned)MOST_THREADS)));
}
API cuLaunchHostFunc(Stream* stream, void (*function)(void*), void* data) {
    IN_CONTEXT;
    return add(stream, [=] { function(data); });
}

API cuStreamBeginCapture_v2(Stream* stream, int) {
    NOT_CAPTURED;
    if (!stream) return NOT_IN_CAPTURE;
    return capturing = stream, spoilt = false, captured.clear(), 0;
}
API cuStreamEndCapture(Stream* stream, Graph** graph) {
    IN_CONTEXT;
    if (stream != capturing) return INVALID_VALUE;
    capturing = nullptr;
    if (spoilt) return CAPTURE_SPOILT;
    return *graph = new Graph{std::move(captured)}, 0;
}
API cuGraphInstantiateWithFlags(Graph** ready, const Graph* graph, unsigned long long) {
    NOT_CAPTURED;
    return *ready = new Graph(*graph), emulated_graphs++, 0;
}
API cuGraphLaunch(const Graph* graph, Stream* stream) {
    IN_CONTEXT;
    emulated_launches++;
    for (const Work& node : graph->nodes) add(stream, node);
    return 0;
}
API cuGraphExecDestroy(Graph* graph) { IN_CONTEXT; return delete graph, emulated_graphs--, 0; }
API cuGraphDestroy(Graph* graph) { IN_CONTEXT; return delete graph, 0; }

API cuGetErrorName(int, const char** text) { return *text = "CUDA_ERROR", 0; }
API cuGetErrorString(int, const char** text) { return *text = "an error of the emulated driver", 0; }

// By its name in cuda.h, as the version of it that is here.
API cuGetProcAddress_v2(const char* name, void** function, int, unsigned long long, int* status) {
    static void* const here = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    const std::string named = name;
    *function = nullptr;
    for (const char* version : {"", "_v2", "WithFlags"})
        if (!*function) *function = dlsym(here, (named + version).c_str());
    if (status) *status = *function ? 0 : 1;
    return *function ? 0 : NOT_FOUND;
}

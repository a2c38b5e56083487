// A network's rows into at most MOST boxes a picture: filter by score and class, then non-maximum suppression. All buffers are
// the caller's and of fixed size and nothing is decided on the host, so both launches can be captured in a graph.
#include "portable.h"

constexpr unsigned INFINITE = 0x7f800000; // as bits

enum { CANDIDATES = 2048, MOST = 1024, WORDS = 32, LEVELS = 4, ANCHORS = 3 };

// Where decoded values lie: value k of row i of a picture at `data + picture * picture_step + i * row_step + k * value_step`, in
// elements. Values are centre x, y, width, height (px), objectness where `first` is 5, then a score for each class.
struct Rows {
    const void* data;
    long long picture_step;
    int row_step, value_step, rows, first, classes;
};

// YOLOv5 before its decoding: of each level logits (pictures, ANCHORS, rows, columns, 5 + classes); anchors in px.
struct Maps {
    const void* data[LEVELS];
    int rows[LEVELS], columns[LEVELS], strides[LEVELS];
    float anchors[LEVELS][ANCHORS][2];
    int levels, classes;
};

// Bit c: class c may be found.
struct Wanted {
    unsigned bits[WORDS];
};

struct Box {
    float x0, y0, x1, y1;
};

__device__ float number(const half* at) { return __half2float(*at); }
__device__ float number(const float* at) { return *at; }
__device__ float sigmoid(float logit) { return 1.f / (1.f + expf(-logit)); }
__device__ Box around(float x, float y, float w, float h) { return {x - w / 2, y - h / 2, x + w / 2, y + h / 2}; }

// The rows of one picture, of either form, as objectness, scores and boxes.
template <class T>
struct RowsOf {
    const Rows& told;
    const T* data;
    int count, classes;

    __device__ RowsOf(const Rows& rows, int picture)
        : told(rows), data(static_cast<const T*>(rows.data) + picture * rows.picture_step), count(rows.rows),
          classes(rows.classes) {}
    __device__ const T* at(int row) const { return data + (long long)row * told.row_step; }
    __device__ float value(int row, int k) const { return number(at(row) + (long long)k * told.value_step); }
    __device__ float object(int row) const { return told.first == 5 ? value(row, 4) : 1.f; }
    __device__ float score(int row, int c) const { return value(row, told.first + c); }
    __device__ Box box(int row) const { return around(value(row, 0), value(row, 1), value(row, 2), value(row, 3)); }
};

template <class T>
struct MapsOf {
    const Maps& told;
    int picture, count, classes;

    __device__ MapsOf(const Maps& maps, int picture) : told(maps), picture(picture), count(0), classes(maps.classes) {
        for (int level = 0; level < maps.levels; level++) count += size(level);
    }
    __device__ int size(int level) const { return ANCHORS * told.rows[level] * told.columns[level]; }
    // The level of a row; what is left of `row` is its place there.
    __device__ int level_of(int& row) const {
        int level = 0;
        while (row >= size(level)) row -= size(level++);
        return level;
    }
    __device__ const T* at(int level, int place) const {
        return static_cast<const T*>(told.data[level]) + ((long long)picture * size(level) + place) * (5 + classes);
    }
    __device__ float value(int row, int k) const {
        const int level = level_of(row);
        return sigmoid(number(at(level, row) + k));
    }
    __device__ float object(int row) const { return value(row, 4); }
    __device__ float score(int row, int c) const { return value(row, 5 + c); }
    __device__ Box box(int row) const {
        int place = row;
        const int level = level_of(place), columns = told.columns[level], cells = told.rows[level] * columns;
        const float* anchor = told.anchors[level][place / cells];
        const float x = 2 * value(row, 0) - .5f + place % columns, y = 2 * value(row, 1) - .5f + place % cells / columns;
        const float w = 2 * value(row, 2), h = 2 * value(row, 3);
        return around(x * told.strides[level], y * told.strides[level], w * w * anchor[0], h * h * anchor[1]);
    }
};

// Of each row the best wanted class and its score, 0 where that does not exceed `conf`, infinite where a score or the box is no
// number. Objectness is read first: most rows end there. Of equal scores the lower class wins, as in the decoding on the CPU.
template <class Source>
__device__ void score(const Source& rows, float conf, const Wanted& wanted, float* scores, int* classes) {
    for (int row = blockIdx.x * blockDim.x + threadIdx.x; row < rows.count; row += gridDim.x * blockDim.x) {
        const float object = rows.object(row);
        float best = 0;
        int which = 0;
        bool broken = isnan(object);
        if (object > conf)
            for (int c = 0; c < rows.classes; c++) {
                if (!(wanted.bits[c / 32] >> c % 32 & 1)) continue;
                const float value = rows.score(row, c);
                broken |= isnan(value);
                if (value > best) best = value, which = c;
            }
        best *= object;
        if (best > conf) {
            const Box box = rows.box(row);
            broken |= !isfinite(best) || !isfinite(box.x0 + box.y0 + box.x1 + box.y1);
        }
        const long long at = (long long)blockIdx.y * rows.count + row;
        scores[at] = broken ? INFINITY : best > conf ? best : 0.f;
        classes[at] = which;
    }
}

__device__ float overlap(const Box& a, const Box& b) {
    const float w = min(a.x1, b.x1) - max(a.x0, b.x0), h = min(a.y1, b.y1) - max(a.y0, b.y0);
    if (w <= 0 || h <= 0) return 0;
    const float common = w * h;
    return common / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - common);
}

// How many of `scores` have at least these bits; positive floats are ordered as their bits are. All threads get the answer.
__device__ int count_from(const float* scores, int rows, unsigned least) {
    __shared__ int count;
    __syncthreads();
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    int mine = 0;
    for (int row = threadIdx.x; row < rows; row += blockDim.x) mine += __float_as_uint(scores[row]) >= least;
    if (mine) atomicAdd(&count, mine);
    __syncthreads();
    return count;
}

// Descending, in place; `size` is a power of two.
__device__ void sort(unsigned long long* keys, int size) {
    for (int run = 2; run <= size; run *= 2)
        for (int apart = run / 2; apart; apart /= 2) {
            __syncthreads();
            for (int i = threadIdx.x; i < size / 2; i += blockDim.x) {
                const int low = i / apart * apart * 2 + i % apart, high = low + apart;
                const unsigned long long a = keys[low], b = keys[high];
                if ((a < b) == ((low & run) == 0)) keys[low] = b, keys[high] = a;
            }
        }
    __syncthreads();
}

template <class Source>
__device__ void suppress(const Source& rows, const float* scores, const int* classes, float iou, Box* scratch, Box* boxes,
                         float* out_scores, int* out_classes, int* counts) {
    __shared__ unsigned long long keys[CANDIDATES];
    __shared__ unsigned char gone[CANDIDATES];
    __shared__ int taken;
    const int picture = blockIdx.y;
    scores += (long long)picture * rows.count, classes += (long long)picture * rows.count;
    scratch += (long long)picture * CANDIDATES;
    boxes += picture * MOST, out_scores += picture * MOST, out_classes += picture * MOST;

    const int found = count_from(scores, rows.count, 1);
    unsigned least = 1;
    if (found > CANDIDATES) {
        // The lowest score at which they fit: those with one score go or stay together, whatever order they come in.
        unsigned most = INFINITE + 1;
        while (least < most) {
            const unsigned middle = least + (most - least) / 2;
            if (count_from(scores, rows.count, middle) > CANDIDATES) least = middle + 1;
            else most = middle;
        }
    }
    if (threadIdx.x == 0) taken = 0;
    __syncthreads();
    for (int row = threadIdx.x; row < rows.count; row += blockDim.x) {
        const unsigned bits = __float_as_uint(scores[row]);
        if (bits >= least) keys[atomicAdd(&taken, 1)] = (unsigned long long)bits << 32 | ~(unsigned)row;
    }
    __syncthreads();
    const int candidates = taken;
    int size = 1;
    while (size < candidates) size *= 2;
    for (int i = candidates + threadIdx.x; i < size; i += blockDim.x) keys[i] = 0;
    sort(keys, size);
    for (int i = threadIdx.x; i < candidates; i += blockDim.x) {
        scratch[i] = rows.box(~(unsigned)keys[i]);
        gone[i] = 0;
    }
    __syncthreads();

    int broken = 0;
    while (broken < candidates && keys[broken] >> 32 == INFINITE) broken++;
    int kept = 0;
    for (int i = broken; i < candidates && kept < MOST; i++) {
        if (gone[i]) continue;
        const int row = ~(unsigned)keys[i];
        const Box box = scratch[i];
        if (threadIdx.x == 0) boxes[kept] = box, out_scores[kept] = scores[row], out_classes[kept] = classes[row];
        kept++;
        for (int j = i + 1 + threadIdx.x; j < candidates; j += blockDim.x)
            if (!gone[j] && classes[~(unsigned)keys[j]] == classes[row] && overlap(box, scratch[j]) > iou) gone[j] = 1;
        __syncthreads();
    }
    if (threadIdx.x == 0) counts[2 * picture] = kept, counts[2 * picture + 1] = broken ? -1 : found;
}

// The kernels: each for rows and maps, in half and single precision.
//
// score_…: grid of any x, a row a picture. `scores` and `classes` are (pictures, rows).
//
// suppress_…: grid (1, pictures). `scratch` is (pictures, CANDIDATES) boxes. Out, best first: `boxes` (pictures, MOST) xyxy,
// `out_scores`, `out_classes` (pictures, MOST), and of each picture in `counts` (pictures, 2) how many those are and how many
// candidates there were, -1 where some were no numbers; of more than CANDIDATES the best are taken.
#define BOTH(form, Told, Source)                                                                                       \
    KERNEL(score_##form)(Told told, float conf, Wanted wanted, float* scores, int* classes) {                          \
        score(Source(told, blockIdx.y), conf, wanted, scores, classes);                                                \
    }                                                                                                                  \
    ENTRY(score_##form)                                                                                                \
    KERNEL(suppress_##form)(Told told, const float* scores, const int* classes, float iou, Box* scratch, Box* boxes,   \
                            float* out_scores, int* out_classes, int* counts) {                                        \
        suppress(Source(told, blockIdx.y), scores, classes, iou, scratch, boxes, out_scores, out_classes, counts);     \
    }                                                                                                                  \
    ENTRY(suppress_##form)

BOTH(rows_f16, Rows, RowsOf<half>)
BOTH(rows_f32, Rows, RowsOf<float>)
BOTH(maps_f16, Maps, MapsOf<half>)
BOTH(maps_f32, Maps, MapsOf<float>)

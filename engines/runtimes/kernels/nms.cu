// A network's rows into at most MOST boxes a picture: filter by score and class, then non-maximum suppression. All buffers are
// the caller's and of fixed size and nothing is decided on the host, so both launches can be captured in a graph.
#include "portable.h"

enum { CANDIDATES = 2048, MOST = 300, WORDS = 32 };

// Where values lie: value k of row i of a picture at `data + picture * picture_step + i * row_step + k * value_step`, in elements.
// Values are centre x, y, width, height (px), objectness where `first` is 5, then a score for each class.
struct Rows {
    const void* data;
    long long picture_step;
    int row_step, value_step, rows, first, classes;
};

// Bit c: class c may be found.
struct Wanted {
    unsigned bits[WORDS];
};

__device__ float number(const half* at) { return __half2float(*at); }
__device__ float number(const float* at) { return *at; }

template <class T>
__device__ const T* row_of(const Rows& rows, int picture, int row) {
    return static_cast<const T*>(rows.data) + picture * rows.picture_step + (long long)row * rows.row_step;
}

// Of each row the best wanted class and its score, 0 where that does not exceed `conf` or the box is no number. Objectness is
// read first: most rows end there. Of equal scores the lower class wins, as in the decoding on the CPU.
template <class T>
__device__ void score(const Rows& rows, float conf, const Wanted& wanted, float* scores, int* classes) {
    for (int row = blockIdx.x * blockDim.x + threadIdx.x; row < rows.rows; row += gridDim.x * blockDim.x) {
        const T* values = row_of<T>(rows, blockIdx.y, row);
        const float object = rows.first == 5 ? number(values + 4LL * rows.value_step) : 1.f;
        float best = 0;
        int which = 0;
        if (object > conf)
            for (int c = 0; c < rows.classes; c++) {
                const float value = number(values + (long long)(rows.first + c) * rows.value_step);
                if (value > best && wanted.bits[c / 32] >> c % 32 & 1) best = value, which = c;
            }
        best *= object;
        bool good = best > conf && isfinite(best);
        for (int k = 0; good && k < 4; k++) good = isfinite(number(values + (long long)k * rows.value_step));
        const long long at = (long long)blockIdx.y * rows.rows + row;
        scores[at] = good ? best : 0.f;
        classes[at] = which;
    }
}

// Grid: any x, a row a picture. `scores` and `classes` are (pictures, rows).
KERNEL(score_rows_f16)(Rows rows, float conf, Wanted wanted, float* scores, int* classes) {
    score<half>(rows, conf, wanted, scores, classes);
}
ENTRY(score_rows_f16)

KERNEL(score_rows_f32)(Rows rows, float conf, Wanted wanted, float* scores, int* classes) {
    score<float>(rows, conf, wanted, scores, classes);
}
ENTRY(score_rows_f32)

struct Box {
    float x0, y0, x1, y1;
};

template <class T>
__device__ Box box_of(const Rows& rows, int picture, int row) {
    const T* values = row_of<T>(rows, picture, row);
    const float x = number(values), y = number(values + rows.value_step);
    const float w = number(values + 2LL * rows.value_step) / 2, h = number(values + 3LL * rows.value_step) / 2;
    return {x - w, y - h, x + w, y + h};
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

template <class T>
__device__ void suppress(const Rows& rows, const float* scores, const int* classes, float iou, Box* scratch, Box* boxes,
                         float* out_scores, int* out_classes, int* counts) {
    __shared__ unsigned long long keys[CANDIDATES];
    __shared__ unsigned char gone[CANDIDATES];
    __shared__ int taken;
    const int picture = blockIdx.y;
    scores += (long long)picture * rows.rows, classes += (long long)picture * rows.rows;
    scratch += (long long)picture * CANDIDATES;
    boxes += picture * MOST, out_scores += picture * MOST, out_classes += picture * MOST;

    const int found = count_from(scores, rows.rows, 1);
    unsigned least = 1;
    if (found > CANDIDATES) {
        // The lowest score at which they fit: those with one score go or stay together, whatever order they come in.
        unsigned most = 0x7f800000;
        while (least < most) {
            const unsigned middle = least + (most - least) / 2;
            if (count_from(scores, rows.rows, middle) > CANDIDATES) least = middle + 1;
            else most = middle;
        }
    }
    if (threadIdx.x == 0) taken = 0;
    __syncthreads();
    for (int row = threadIdx.x; row < rows.rows; row += blockDim.x) {
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
        scratch[i] = box_of<T>(rows, picture, ~(unsigned)keys[i]);
        gone[i] = 0;
    }
    __syncthreads();

    int kept = 0;
    for (int i = 0; i < candidates && kept < MOST; i++) {
        if (gone[i]) continue;
        const int row = ~(unsigned)keys[i];
        const Box box = scratch[i];
        if (threadIdx.x == 0) boxes[kept] = box, out_scores[kept] = scores[row], out_classes[kept] = classes[row];
        kept++;
        for (int j = i + 1 + threadIdx.x; j < candidates; j += blockDim.x)
            if (!gone[j] && classes[~(unsigned)keys[j]] == classes[row] && overlap(box, scratch[j]) > iou) gone[j] = 1;
        __syncthreads();
    }
    if (threadIdx.x == 0) counts[2 * picture] = kept, counts[2 * picture + 1] = found;
}

// Grid: (1, pictures). `scratch` is (pictures, CANDIDATES) boxes. Out, best first: `boxes` (pictures, MOST) xyxy, `out_scores`,
// `out_classes` (pictures, MOST), and of each picture in `counts` (pictures, 2) how many those are and how many candidates there
// were; of more than CANDIDATES the best are taken.
KERNEL(suppress_f16)(Rows rows, const float* scores, const int* classes, float iou, Box* scratch, Box* boxes,
                     float* out_scores, int* out_classes, int* counts) {
    suppress<half>(rows, scores, classes, iou, scratch, boxes, out_scores, out_classes, counts);
}
ENTRY(suppress_f16)

KERNEL(suppress_f32)(Rows rows, const float* scores, const int* classes, float iou, Box* scratch, Box* boxes,
                     float* out_scores, int* out_classes, int* counts) {
    suppress<float>(rows, scores, classes, iou, scratch, boxes, out_scores, out_classes, counts);
}
ENTRY(suppress_f32)

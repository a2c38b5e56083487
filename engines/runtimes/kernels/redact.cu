// Covers, painted into frames in place: what lay under them is gone.
#include "portable.h"

// The ellipse inscribed in x0, y0, x1, y1 (even px, may reach over the picture's edges), in 4 × 4 cells of luma and 2 × 2 of each
// chroma, all of one level for a solid cover.
struct Cover {
    int x0, y0, x1, y1;
    unsigned char y[16], u[4], v[4];
};

// A frame, and its covers among all covers.
struct Redacted {
    Planes frame;
    int first, count;
};

// Whether the middle of pixel x, y lies in the ellipse of x0 … x1, y0 … y1 that reaches `more` px further all around.
__device__ bool inside(float x0, float y0, float x1, float y1, float x, float y, float more) {
    const float across = (2 * x + 1 - x0 - x1) / (x1 - x0 + 2 * more), down = (2 * y + 1 - y0 - y1) / (y1 - y0 + 2 * more);
    return across * across + down * down <= 1;
}

__device__ int cell(int low, int high, int at, int cells) { return min(max((at - low) * cells / (high - low), 0), cells - 1); }

// The ellipses reach a little further than those that OpenCV draws, whose outline is rounded to whole pixels: by nearly two pixels,
// and more in chroma, so that no colour stays at the rim.
//
// Grid: any x, a row a frame. A thread paints four pixels of luma and their chroma; of covers that overlap the last one is seen.
KERNEL(redact)(const Redacted* __restrict__ frames, const Cover* __restrict__ covers) {
    const Redacted& job = frames[blockIdx.y];
    const Planes& frame = job.frame;
    const int half_w = (frame.width + 1) / 2, half_h = (frame.height + 1) / 2;
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < half_w * half_h; at += gridDim.x * blockDim.x) {
        const int row = at / half_w, column = at % half_w;
        for (int i = job.first + job.count - 1, left = 31; i >= job.first && left; i--) {
            const Cover& cover = covers[i];
            const int x0 = cover.x0 / 2, y0 = cover.y0 / 2, x1 = cover.x1 / 2, y1 = cover.y1 / 2;
            if (column < x0 - 2 || column > x1 + 1 || row < y0 - 2 || row > y1 + 1) continue;
            for (int corner = 0; corner < 4; corner++) {
                const int x = 2 * column + corner % 2, y = 2 * row + corner / 2;
                if (!(left >> corner & 1) || x >= frame.width || y >= frame.height) continue;
                if (!inside(cover.x0, cover.y0, cover.x1, cover.y1, x, y, 1.75f)) continue;
                frame.y[(long long)y * frame.pitch + x] =
                    cover.y[4 * cell(cover.y0, cover.y1, y, 4) + cell(cover.x0, cover.x1, x, 4)];
                left &= ~(1 << corner);
            }
            if (left & 16 && inside(x0, y0, x1, y1, column, row, 2.25f)) {
                const int which = 2 * cell(y0, y1, row, 2) + cell(x0, x1, column, 2);
                const long long place = (long long)row * frame.half_pitch + column * frame.step;
                frame.u[place] = cover.u[which], frame.v[place] = cover.v[which];
                left &= ~16;
            }
        }
    }
}
ENTRY(redact)

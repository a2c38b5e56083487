// Windows of frames, each scaled to its own picture: all fancams of all streams in one launch.
#include "portable.h"

// Luma of `frame` from x, y (px, with sub-pixels), `w` × `h` px, over all of `into`; chroma at half of that.
struct Crop {
    Planes frame, into;
    float x, y, w, h;
};

struct Source {
    const unsigned char* at;
    int width, height, pitch, step;
};

// The mean of `whole` × `whole` px.
__device__ float block_mean(const Source& plane, int left, int top, int whole) {
    int sum = 0;
    for (int y = top; y < top + whole; y++)
        for (int x = left; x < left + whole; x++) sum += plane.at[(long long)y * plane.pitch + x * plane.step];
    return (float)sum / (whole * whole);
}

// As engines/render/crop.py: shrunk by a whole number first, each pixel the mean of its area, then linear in what is left.
__device__ int cropped(const Source& plane, float x, float y, float w, float h, int out_w, int out_h, int column, int row) {
    const int whole = max(1, (int)(min(w / out_w, h / out_h) + 1e-6f));
    const int left = whole > 1 ? (int)x : 0, top = whole > 1 ? (int)y : 0;
    int right = plane.width, bottom = plane.height;
    if (whole > 1) {
        right = min(right, left + ((int)ceilf(x + w - left) + whole - 1) / whole * whole);
        bottom = min(bottom, top + ((int)ceilf(y + h - top) + whole - 1) / whole * whole);
    }
    const int most_x = max(1, (right - left) / whole) - 1, most_y = max(1, (bottom - top) / whole) - 1;
    const float at_x = min(max((x - left + (column + .5f) * w / out_w) / whole - .5f, 0.f), (float)most_x);
    const float at_y = min(max((y - top + (row + .5f) * h / out_h) / whole - .5f, 0.f), (float)most_y);
    const int x0 = (int)at_x, y0 = (int)at_y, x1 = min(x0 + 1, most_x), y1 = min(y0 + 1, most_y);
    const float share_x = at_x - x0, share_y = at_y - y0;
    const float upper = (1 - share_x) * block_mean(plane, left + x0 * whole, top + y0 * whole, whole) +
                        share_x * block_mean(plane, left + x1 * whole, top + y0 * whole, whole);
    const float lower = (1 - share_x) * block_mean(plane, left + x0 * whole, top + y1 * whole, whole) +
                        share_x * block_mean(plane, left + x1 * whole, top + y1 * whole, whole);
    return (int)((1 - share_y) * upper + share_y * lower + .5f);
}

// Grid: any x, a row a crop.
KERNEL(crop)(const Crop* __restrict__ crops) {
    const Crop& job = crops[blockIdx.y];
    const Planes &frame = job.frame, &into = job.into;
    const int half_w = (into.width + 1) / 2, half_h = (into.height + 1) / 2;
    const int luma = into.width * into.height, chroma = half_w * half_h;
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < luma + 2 * chroma; at += gridDim.x * blockDim.x) {
        if (at < luma) {
            const int row = at / into.width, column = at % into.width;
            const Source plane = {frame.y, frame.width, frame.height, frame.pitch, 1};
            into.y[(long long)row * into.pitch + column] =
                cropped(plane, job.x, job.y, job.w, job.h, into.width, into.height, column, row);
            continue;
        }
        const bool second = at >= luma + chroma;
        const int place = at - luma - (second ? chroma : 0), row = place / half_w, column = place % half_w;
        const Source plane = {second ? frame.v : frame.u, (frame.width + 1) / 2, (frame.height + 1) / 2,
                              frame.half_pitch, frame.step};
        (second ? into.v : into.u)[(long long)row * into.half_pitch + column * into.step] =
            cropped(plane, job.x / 2, job.y / 2, job.w / 2, job.h / 2, half_w, half_h, column, row);
    }
}
ENTRY(crop)

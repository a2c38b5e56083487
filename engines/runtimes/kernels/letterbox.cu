// Frames of any sizes, NV12 or I420, into one batch of pictures for a network: scaled, padded, in colour, normalised.
#include "portable.h"

// Where a frame lies in its picture: at the top left, inner_w × inner_h px (even).
struct Letterboxed {
    Planes frame;
    int inner_w, inner_h;
};

// A channel's value is level * scale + shift of its 0–255; `pad` is such a value already. Channels are in the network's order.
struct Look {
    float scale[3], shift[3], pad[3];
    int bgr;
};

struct Plane {
    const unsigned char* at;
    int width, height, pitch, step;
    __device__ float operator()(int x, int y) const { return at[(long long)y * pitch + x * step]; }
};

__device__ float between(float a, float b, float share) { return a + (b - a) * share; }

// The level at column x, row y of a plane scaled to `width` × `height`, rounded as a byte is: as engines/detect/letterbox.py
// scales, linear, and the mean of the area where it shrinks by two or more.
__device__ int scaled(const Plane& plane, int width, int height, int x, int y) {
    const float across = (float)plane.width / width, down = (float)plane.height / height;
    if (plane.width < 2 * width || plane.height < height) {
        const float at_x = min(max((x + .5f) * across - .5f, 0.f), plane.width - 1.f);
        const float at_y = min(max((y + .5f) * down - .5f, 0.f), plane.height - 1.f);
        const int x0 = (int)at_x, y0 = (int)at_y;
        const int x1 = min(x0 + 1, plane.width - 1), y1 = min(y0 + 1, plane.height - 1);
        const float upper = between(plane(x0, y0), plane(x1, y0), at_x - x0);
        return (int)(between(upper, between(plane(x0, y1), plane(x1, y1), at_x - x0), at_y - y0) + .5f);
    }
    const float left = x * across, right = min(left + across, (float)plane.width);
    const float top = y * down, bottom = min(top + down, (float)plane.height);
    float sum = 0;
    for (int row = (int)top; row < bottom; row++) {
        float line = 0;
        for (int column = (int)left; column < right; column++)
            line += plane(column, row) * (min(column + 1.f, right) - max((float)column, left));
        sum += line * (min(row + 1.f, bottom) - max((float)row, top));
    }
    return (int)(sum / ((right - left) * (bottom - top)) + .5f);
}

__device__ float level(float value) { return (int)(min(max(value, 0.f), 255.f) + .5f); }

template <class T>
struct alignas(16) Eight {
    T at[8];
};

__device__ void put(half& to, float value) { to = __float2half(value); }
__device__ void put(float& to, float value) { to = value; }

// Grid: any x, a row a picture. `out` is (pictures, 3, net_h, net_w), net_w a multiple of 8. A thread writes eight pixels of a
// row at a time. Colours: BT.601, limited range; each chroma sample serves a square of four pixels.
template <class T>
__device__ void letterboxed(const Letterboxed* __restrict__ pictures, T* __restrict__ out, int net_w, int net_h, const Look& look) {
    const Letterboxed& picture = pictures[blockIdx.y];
    const Planes& frame = picture.frame;
    const int w = picture.inner_w, h = picture.inner_h, half_w = (frame.width + 1) / 2, half_h = (frame.height + 1) / 2;
    const Plane plane_y = {frame.y, frame.width, frame.height, frame.pitch, 1};
    const Plane plane_u = {frame.u, half_w, half_h, frame.half_pitch, frame.step};
    const Plane plane_v = {frame.v, half_w, half_h, frame.half_pitch, frame.step};
    const long long size = (long long)net_w * net_h;
    T* mine = out + blockIdx.y * 3 * size;
    for (long long at = blockIdx.x * blockDim.x + threadIdx.x; at < size / 8; at += gridDim.x * blockDim.x) {
        const int y = at * 8 / net_w, x0 = at * 8 % net_w;
        Eight<T> channels[3];
        float u = 0, v = 0;
#pragma unroll 1
        for (int i = 0; i < 8; i++) {
            const int x = x0 + i;
            const bool inside = x < w && y < h;
            float red = 0, green = 0, blue = 0;
            if (inside) {
                if (i % 2 == 0) {
                    u = scaled(plane_u, w / 2, h / 2, x / 2, y / 2) - 128.f;
                    v = scaled(plane_v, w / 2, h / 2, x / 2, y / 2) - 128.f;
                }
                const float luma = 1.164f * (max(scaled(plane_y, w, h, x, y), 16) - 16);
                red = level(luma + 1.596f * v);
                green = level(luma - .813f * v - .391f * u);
                blue = level(luma + 2.018f * u);
            }
            const float colours[3] = {look.bgr ? blue : red, green, look.bgr ? red : blue};
#pragma unroll
            for (int c = 0; c < 3; c++)
                put(channels[c].at[i], inside ? colours[c] * look.scale[c] + look.shift[c] : look.pad[c]);
        }
#pragma unroll
        for (int c = 0; c < 3; c++) *reinterpret_cast<Eight<T>*>(mine + c * size + at * 8) = channels[c];
    }
}

KERNEL(letterbox_f16)(const Letterboxed* __restrict__ pictures, half* __restrict__ out, int net_w, int net_h, Look look) {
    letterboxed(pictures, out, net_w, net_h, look);
}
ENTRY(letterbox_f16)
KERNEL(letterbox_f32)(const Letterboxed* __restrict__ pictures, float* __restrict__ out, int net_w, int net_h, Look look) {
    letterboxed(pictures, out, net_w, net_h, look);
}
ENTRY(letterbox_f32)

// As letterboxed, for a network that takes a frame's planes: `y` is (pictures, 1, net_h, net_w), `uv` (pictures, 2, net_h / 2,
// net_w / 2), uint8, 128 around the frame.
KERNEL(letterbox_planes)(const Letterboxed* __restrict__ pictures, unsigned char* __restrict__ y,
                         unsigned char* __restrict__ uv, int net_w, int net_h) {
    const Letterboxed& picture = pictures[blockIdx.y];
    const Planes& frame = picture.frame;
    const int w = picture.inner_w, h = picture.inner_h, half_w = (frame.width + 1) / 2, half_h = (frame.height + 1) / 2;
    const Plane planes[3] = {
        {frame.y, frame.width, frame.height, frame.pitch, 1},
        {frame.u, half_w, half_h, frame.half_pitch, frame.step},
        {frame.v, half_w, half_h, frame.half_pitch, frame.step},
    };
    const int size = net_w * net_h;
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < size + size / 2; at += gridDim.x * blockDim.x) {
        const int plane = at < size ? 0 : at < size + size / 4 ? 1 : 2, shrink = plane ? 2 : 1;
        const int place = at - (plane == 0 ? 0 : plane == 1 ? size : size + size / 4);
        const int row = place / (net_w / shrink), column = place % (net_w / shrink);
        const bool inside = column < w / shrink && row < h / shrink;
        const int value = inside ? scaled(planes[plane], w / shrink, h / shrink, column, row) : 128;
        unsigned char* to = plane == 0 ? y + (long long)blockIdx.y * size : uv + (long long)blockIdx.y * (size / 2) - size;
        to[at] = value;
    }
}
ENTRY(letterbox_planes)

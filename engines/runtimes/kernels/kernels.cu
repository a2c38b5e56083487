// All kernels in one image, for `make kernels`.
#include "letterbox.cu"
#include "nms.cu"
#include "crop.cu"
#include "redact.cu"

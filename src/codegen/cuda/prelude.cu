// What generated kernels may use; it stands before every one of them, and nothing is included. Apart from this text they
// use: __global__, __device__, __forceinline__, __shared__ (in the body of a kernel, of fixed size), __restrict__,
// __launch_bounds__(n), threadIdx.x, blockIdx.x and .y, blockDim.x, __syncthreads, __syncwarp, __shfl_xor_sync and __shfl_sync
// of int and float, __ballot_sync, __ffs, and of math.h: fabs, exp, log, sqrt, sin, cos, tanh, erf, floor, ceil, rint, pow, atan2, fmax,
// fmin, fma, each also with an f at its end. A compiler for a device defines __CUDA_ARCH__.

typedef unsigned char nn_u8;
typedef signed char nn_i8;
typedef unsigned short nn_u16;
typedef unsigned int nn_u32;
typedef long long nn_i64;
typedef unsigned long long nn_u64;

#define NN_INF nn_bits_float(0x7f800000u)
#define NN_NAN nn_bits_float(0x7fc00000u)

struct alignas(16) nn_f4 { float x, y, z, w; };

// Bits of floats.
union nn_bits32 { float f; nn_u32 u; };
union nn_bits64 { double d; nn_u64 u; };
__device__ __forceinline__ nn_u32 nn_float_bits(float v) { nn_bits32 b; b.f = v; return b.u; }
__device__ __forceinline__ float nn_bits_float(nn_u32 v) { nn_bits32 b; b.u = v; return b.f; }

// Halves: stored in 16 bits, computed in f32 and rounded to nearest even.
__device__ __forceinline__ float nn_from_bf16(nn_u16 v) { return nn_bits_float((nn_u32)v << 16); }
__device__ __forceinline__ nn_u16 nn_to_bf16(float v) {
  nn_u32 b = nn_float_bits(v);
  if (v != v) return (nn_u16)((b >> 16) | 0x40);
  return (nn_u16)((b + 0x7fff + ((b >> 16) & 1)) >> 16);
}
__device__ __forceinline__ float nn_from_f16(nn_u16 v) {
  nn_u32 sign = (nn_u32)(v & 0x8000) << 16, exponent = (v >> 10) & 31, mantissa = v & 1023;
  if (exponent == 31) return nn_bits_float(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    float small = (float)mantissa * 5.9604644775390625e-8f;
    return sign ? -small : small;
  }
  return nn_bits_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
}
__device__ __forceinline__ nn_u16 nn_to_f16(float v) {
  nn_u32 b = nn_float_bits(v), sign = (b >> 16) & 0x8000, a = b & 0x7fffffff;
  if (a > 0x7f800000u) return (nn_u16)(sign | 0x7e00);
  if (a >= 0x477ff000u) return (nn_u16)(sign | 0x7c00);
  if (a < 0x38800000u) {
    // Below the normal range the unit is 2^-24.
    return (nn_u16)(sign | (nn_u32)rintf(nn_bits_float(a) * 16777216.0f));
  }
  nn_u32 rounded = a + 0xfff + ((a >> 13) & 1);
  return (nn_u16)(sign | ((rounded - 0x38000000u) >> 13));
}
__device__ __forceinline__ float nn_round_bf16(float v) { return nn_from_bf16(nn_to_bf16(v)); }
__device__ __forceinline__ float nn_round_f16(float v) { return nn_from_f16(nn_to_f16(v)); }

// Whole numbers wrap around.
__device__ __forceinline__ int nn_add(int a, int b) { return (int)((nn_u32)a + (nn_u32)b); }
__device__ __forceinline__ int nn_sub(int a, int b) { return (int)((nn_u32)a - (nn_u32)b); }
__device__ __forceinline__ int nn_mul(int a, int b) { return (int)((nn_u32)a * (nn_u32)b); }
__device__ __forceinline__ nn_i64 nn_add(nn_i64 a, nn_i64 b) { return (nn_i64)((nn_u64)a + (nn_u64)b); }
__device__ __forceinline__ nn_i64 nn_sub(nn_i64 a, nn_i64 b) { return (nn_i64)((nn_u64)a - (nn_u64)b); }
__device__ __forceinline__ nn_i64 nn_mul(nn_i64 a, nn_i64 b) { return (nn_i64)((nn_u64)a * (nn_u64)b); }
template <typename T> __device__ __forceinline__ T nn_int_div(T a, T b) {
  if (b == 0) return 0;
  if (b == -1) return nn_sub((T)0, a);
  T q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
template <typename T> __device__ __forceinline__ T nn_int_rem(T a, T b) {
  if (b == 0 || b == -1) return 0;
  T r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
template <typename T> __device__ __forceinline__ T nn_int_pow(T a, T b) {
  T result = 1;
  nn_u32 n = b < 0 ? 0u : (nn_i64)b > 0xffffffffll ? 0xffffffffu : (nn_u32)b;
  for (; n; n >>= 1) {
    if (n & 1) result = nn_mul(result, a);
    a = nn_mul(a, a);
  }
  return result;
}

// A float cut off, and held inside the range; NaN is 0.
template <typename T> __device__ __forceinline__ int nn_to_int(T v, int low, int high) {
  return v != v ? 0 : v <= (T)low ? low : v >= (T)high ? high : (int)v;
}
__device__ __forceinline__ nn_i64 nn_to_i64(double v) {
  return v != v ? 0 : v <= -9223372036854775808.0 ? (-9223372036854775807ll - 1)
       : v >= 9223372036854775808.0 ? 9223372036854775807ll : (nn_i64)v;
}

// NaN wins.
__device__ __forceinline__ float nn_max(float a, float b) { return a != a ? a : b != b ? b : a > b ? a : b > a ? b : fmaxf(a, b); }
__device__ __forceinline__ float nn_min(float a, float b) { return a != a ? a : b != b ? b : a < b ? a : b < a ? b : fminf(a, b); }
__device__ __forceinline__ double nn_max(double a, double b) { return a != a ? a : b != b ? b : a > b ? a : b > a ? b : fmax(a, b); }
__device__ __forceinline__ double nn_min(double a, double b) { return a != a ? a : b != b ? b : a < b ? a : b < a ? b : fmin(a, b); }
__device__ __forceinline__ int nn_max(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ int nn_min(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ nn_i64 nn_max(nn_i64 a, nn_i64 b) { return a > b ? a : b; }
__device__ __forceinline__ nn_i64 nn_min(nn_i64 a, nn_i64 b) { return a < b ? a : b; }
__device__ __forceinline__ float nn_rem(float a, float b) { return a - b * floorf(a / b); }
__device__ __forceinline__ double nn_rem(double a, double b) { return a - b * floor(a / b); }

// Whether element i, which is v, is before the best so far in the order of extremes: NaN first, then by size, then by place.
template <typename T> __device__ __forceinline__ bool nn_wins_max(T v, int i, T best, int place) {
  if (i < 0 || place < 0) return i >= 0;
  if (v != v || best != best) return v != v && (best == best || i < place);
  return v > best || (v == best && i < place);
}
template <typename T> __device__ __forceinline__ bool nn_wins_min(T v, int i, T best, int place) {
  if (i < 0 || place < 0) return i >= 0;
  if (v != v || best != best) return v != v && (best == best || i < place);
  return v < best || (v == best && i < place);
}

// A value of another lane of the warp: lane number with a bit changed.
__device__ __forceinline__ float nn_lane_xor(float v, int bit) { return __shfl_xor_sync(0xffffffffu, v, bit); }
__device__ __forceinline__ int nn_lane_xor(int v, int bit) { return __shfl_xor_sync(0xffffffffu, v, bit); }
__device__ __forceinline__ nn_i64 nn_lane_xor(nn_i64 v, int bit) {
  nn_u64 u = (nn_u64)v;
  nn_u32 low = (nn_u32)nn_lane_xor((int)(nn_u32)u, bit), high = (nn_u32)nn_lane_xor((int)(nn_u32)(u >> 32), bit);
  return (nn_i64)((nn_u64)low | ((nn_u64)high << 32));
}
__device__ __forceinline__ double nn_lane_xor(double v, int bit) {
  nn_bits64 b;
  b.d = v;
  b.u = (nn_u64)nn_lane_xor((nn_i64)b.u, bit);
  return b.d;
}

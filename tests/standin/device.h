// What a kernel sees: the words of CUDA C as plain C++ for this processor. It stands before every source that the stand-in
// compiles and includes nothing, as on the device. Everything that threads do together is a call into the stand-in's driver.
#pragma GCC system_header

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;

#define NNC_STANDIN 1
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define __NVCC__ 1
#define __global__ __attribute__((used))
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__
#define __grid_constant__
#ifndef __restrict__
#define __restrict__ __restrict
#endif
// The section differs by kernel: the compiler in front writes a definition of STANDIN_SECTION before each.
#define __shared__ static __attribute__((section(STANDIN_SECTION)))
#define STANDIN_SECTION "standin_shared_0"

#define STANDIN_VECTOR(T, name, a2, a4)                                                                     \
    struct name##1 { T x; };                                                                                \
    struct __attribute__((aligned(a2))) name##2 { T x, y; };                                                \
    struct name##3 { T x, y, z; };                                                                          \
    struct __attribute__((aligned(a4))) name##4 { T x, y, z, w; };                                          \
    static inline name##1 make_##name##1(T x) { return {x}; }                                               \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                       \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                               \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
STANDIN_VECTOR(signed char, char, 2, 4)
STANDIN_VECTOR(unsigned char, uchar, 2, 4)
STANDIN_VECTOR(short, short, 4, 8)
STANDIN_VECTOR(unsigned short, ushort, 4, 8)
STANDIN_VECTOR(int, int, 8, 16)
STANDIN_VECTOR(unsigned, uint, 8, 16)
STANDIN_VECTOR(float, float, 8, 16)
STANDIN_VECTOR(double, double, 16, 16)
STANDIN_VECTOR(long long, longlong, 16, 16)
STANDIN_VECTOR(unsigned long long, ulonglong, 16, 16)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Which thread runs: the stand-in changes it whenever it switches.
struct standin_place {
    uint3 thread, block, threads, blocks;
    unsigned lane;
    char *dynamic;
};
extern "C" standin_place standin_now;
#define threadIdx standin_now.thread
#define blockIdx standin_now.block
#define blockDim standin_now.threads
#define gridDim standin_now.blocks
static const int warpSize = 32;

extern "C" {
int standin_barrier(int line, int kind, int value);
void standin_warp(int kind, unsigned mask, int line, int from, const void *in, int in_bytes, void *out, int out_bytes);
void standin_fence(int scope);
void standin_atomic_load(const void *p, void *out, int bytes);
void standin_atomic_store(void *p, const void *in, int bytes);
void standin_trap(const char *why, int line);
unsigned standin_to_shared(const void *p);
unsigned long long standin_clock();
void standin_copy_later(unsigned to, const void *from, int bytes, int present);
void standin_copy_commit();
void standin_copy_wait(int open);
float expf(float), exp2f(float), exp10f(float), expm1f(float), logf(float), log2f(float), log10f(float), log1pf(float);
float sinf(float), cosf(float), tanf(float), asinf(float), acosf(float), atanf(float), atan2f(float, float);
float sinhf(float), coshf(float), tanhf(float), erff(float), erfcf(float), powf(float, float), sqrtf(float), cbrtf(float);
float fmodf(float, float), floorf(float), ceilf(float), truncf(float), roundf(float), rintf(float), nearbyintf(float);
float fmaf(float, float, float), fminf(float, float), fmaxf(float, float), fabsf(float), copysignf(float, float);
float ldexpf(float, int), hypotf(float, float), lgammaf(float), tgammaf(float), remainderf(float, float);
double exp(double), exp2(double), expm1(double), log(double), log2(double), log10(double), log1p(double);
double sin(double), cos(double), tan(double), asin(double), acos(double), atan(double), atan2(double, double);
double sinh(double), cosh(double), tanh(double), erf(double), erfc(double), pow(double, double), sqrt(double), cbrt(double);
double fmod(double, double), floor(double), ceil(double), trunc(double), round(double), rint(double), nearbyint(double);
double fma(double, double, double), fmin(double, double), fmax(double, double), fabs(double), copysign(double, double);
double ldexp(double, int), hypot(double, double), lgamma(double), tgamma(double);
long lrint(double);
void *memcpy(void *, const void *, size_t) noexcept;
void *memset(void *, int, size_t) noexcept;
}
#define STANDIN_ONE(name) static inline float name(float x) { return name##f(x); }
STANDIN_ONE(exp) STANDIN_ONE(exp2) STANDIN_ONE(expm1) STANDIN_ONE(log) STANDIN_ONE(log2) STANDIN_ONE(log10) STANDIN_ONE(log1p)
STANDIN_ONE(sin) STANDIN_ONE(cos) STANDIN_ONE(tan) STANDIN_ONE(tanh) STANDIN_ONE(erf) STANDIN_ONE(sqrt) STANDIN_ONE(floor)
STANDIN_ONE(ceil) STANDIN_ONE(trunc) STANDIN_ONE(round) STANDIN_ONE(rint) STANDIN_ONE(fabs)
static inline float pow(float x, float y) { return powf(x, y); }
static inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
static inline float abs(float x) { return fabsf(x); }
static inline double abs(double x) { return fabs(x); }
static inline int abs(int x) { return x < 0 ? -x : x; }
static inline long long abs(long long x) { return x < 0 ? -x : x; }
static inline long long llabs(long long x) { return x < 0 ? -x : x; }
#define STANDIN_LESS(T)                                                \
    static inline T min(T a, T b) { return b < a ? b : a; }            \
    static inline T max(T a, T b) { return a < b ? b : a; }
STANDIN_LESS(int) STANDIN_LESS(unsigned) STANDIN_LESS(long) STANDIN_LESS(unsigned long) STANDIN_LESS(long long)
STANDIN_LESS(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
template <class T> static inline bool isnan(T x) { return __builtin_isnan(x); }
template <class T> static inline bool isinf(T x) { return __builtin_isinf(x); }
template <class T> static inline bool isfinite(T x) { return __builtin_isfinite(x); }
template <class T> static inline bool signbit(T x) { return __builtin_signbit(x); }

static inline float rsqrtf(float x) { return (float)(1.0 / __builtin_sqrt((double)x)); }
static inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
static inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
static inline float normcdff(float x) { return 0.5f * erfcf(x * -0.70710678118654752f); }
static inline void sincosf(float x, float *s, float *c) { *s = sinf(x); *c = cosf(x); }
static inline float sinpif(float x) { return (float)sin((double)x * 3.14159265358979323846); }
static inline float cospif(float x) { return (float)cos((double)x * 3.14159265358979323846); }
static inline void sincospif(float x, float *s, float *c) { *s = sinpif(x); *c = cospif(x); }
static inline float __expf(float x) { return expf(x); }
static inline float __exp10f(float x) { return exp10f(x); }
static inline float __logf(float x) { return logf(x); }
static inline float __log2f(float x) { return log2f(x); }
static inline float __sinf(float x) { return sinf(x); }
static inline float __cosf(float x) { return cosf(x); }
static inline float __powf(float x, float y) { return powf(x, y); }
static inline float __tanhf(float x) { return tanhf(x); }
static inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __frsqrt_rn(float x) { return rsqrtf(x); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dsub_rn(double x, double y) { return x - y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __ddiv_rn(double x, double y) { return x / y; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

template <class To, class From> static inline To standin_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
static inline int __float_as_int(float x) { return standin_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return standin_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return standin_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return standin_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return standin_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return standin_bits<double>(x); }
static inline int __double2hiint(double x) { return (int)(standin_bits<unsigned long long>(x) >> 32); }
static inline int __double2loint(double x) { return (int)standin_bits<unsigned long long>(x); }
static inline double __hiloint2double(int h, int l) {
    return standin_bits<double>((unsigned long long)(unsigned)h << 32 | (unsigned)l);
}

// Conversions to integers saturate, and what is no number becomes 0 (of 64 bits: the smallest number).
template <class I, class F> static inline I standin_to(F x, I low, I high, I none) {
    if (x != x) return none;
    if (x <= (F)low) return low;
    if (x >= (F)high) return high;
    return (I)x;
}
#define STANDIN_CONVERT(T, t, I, i, low, high, none)                                                            \
    static inline I __##t##2##i##_rz(T x) { return standin_to<I, T>(x, low, high, none); }                      \
    static inline I __##t##2##i##_rn(T x) { return standin_to<I, T>((T)__builtin_rint((double)x), low, high, none); }   \
    static inline I __##t##2##i##_rd(T x) { return standin_to<I, T>((T)__builtin_floor((double)x), low, high, none); }  \
    static inline I __##t##2##i##_ru(T x) { return standin_to<I, T>((T)__builtin_ceil((double)x), low, high, none); }
#define STANDIN_MIN64 (-0x7fffffffffffffffLL - 1)
STANDIN_CONVERT(float, float, int, int, -0x7fffffff - 1, 0x7fffffff, 0)
STANDIN_CONVERT(float, float, unsigned, uint, 0u, 0xffffffffu, 0u)
STANDIN_CONVERT(float, float, long long, ll, STANDIN_MIN64, 0x7fffffffffffffffLL, STANDIN_MIN64)
STANDIN_CONVERT(float, float, unsigned long long, ull, 0ull, 0xffffffffffffffffull, 0x8000000000000000ull)
STANDIN_CONVERT(double, double, int, int, -0x7fffffff - 1, 0x7fffffff, 0)
STANDIN_CONVERT(double, double, unsigned, uint, 0u, 0xffffffffu, 0u)
STANDIN_CONVERT(double, double, long long, ll, STANDIN_MIN64, 0x7fffffffffffffffLL, STANDIN_MIN64)
STANDIN_CONVERT(double, double, unsigned long long, ull, 0ull, 0xffffffffffffffffull, 0x8000000000000000ull)
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline float __ll2float_rn(long long x) { return (float)x; }
static inline float __ull2float_rn(unsigned long long x) { return (float)x; }
static inline double __int2double_rn(int x) { return x; }
static inline double __uint2double_rn(unsigned x) { return x; }
static inline double __ll2double_rn(long long x) { return (double)x; }
static inline double __ull2double_rn(unsigned long long x) { return (double)x; }
static inline float __double2float_rn(double x) { return (float)x; }

static inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned y = 0;
    for (int i = 0; i < 4; i++) {
        unsigned which = s >> (4 * i), byte = (unsigned)(both >> (8 * (which & 7))) & 0xff;
        if (which & 8) byte = byte & 0x80 ? 0xff : 0;
        y |= byte << (8 * i);
    }
    return y;
}
static inline unsigned __funnelshift_l(unsigned l, unsigned h, unsigned s) {
    return (unsigned)(((unsigned long long)h << 32 | l) << (s & 31) >> 32);
}
static inline unsigned __funnelshift_r(unsigned l, unsigned h, unsigned s) {
    return (unsigned)(((unsigned long long)h << 32 | l) >> (s & 31));
}

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldlu(const T *p) { return *p; }
template <class T> static inline T __ldcv(const T *p) { return *p; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }
template <class T> static inline void __stcg(T *p, T v) { *p = v; }
template <class T> static inline void __stwb(T *p, T v) { *p = v; }
template <class T> static inline void __stwt(T *p, T v) { *p = v; }

#define STANDIN_LINE int line = __builtin_LINE()
static inline void __syncthreads(STANDIN_LINE) { standin_barrier(line, 0, 0); }
static inline int __syncthreads_count(int p, STANDIN_LINE) { return standin_barrier(line, 1, p != 0); }
static inline int __syncthreads_and(int p, STANDIN_LINE) { return standin_barrier(line, 2, p != 0); }
static inline int __syncthreads_or(int p, STANDIN_LINE) { return standin_barrier(line, 3, p != 0); }
static inline void __threadfence_block() { standin_fence(0); }
static inline void __threadfence() { standin_fence(1); }
static inline void __threadfence_system() { standin_fence(2); }
static inline void __nanosleep(unsigned) {}
static inline unsigned long long clock64() { return standin_clock(); }
static inline void __trap(STANDIN_LINE) { standin_trap("__trap()", line); }
#define assert(what) ((what) ? (void)0 : standin_trap("assert(" #what ")", __LINE__))
static inline size_t __cvta_generic_to_shared(const void *p) { return standin_to_shared(p); }

enum { standin_sync, standin_shfl, standin_ballot, standin_match, standin_reduce, standin_mma, standin_matrix };
static inline void __syncwarp(unsigned mask = 0xffffffffu, STANDIN_LINE) {
    standin_warp(standin_sync, mask, line, 0, nullptr, 0, nullptr, 0);
}
template <class T> static inline T standin_take(unsigned mask, T v, int from, int line) {
    T out;
    standin_warp(standin_shfl, mask, line, from, &v, sizeof v, &out, sizeof out);
    return out;
}
template <class T> static inline T __shfl_sync(unsigned mask, T v, int from, int width = 32, STANDIN_LINE) {
    int lane = (int)standin_now.lane;
    return standin_take(mask, v, (lane & ~(width - 1)) | (from & (width - 1)), line);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, STANDIN_LINE) {
    int lane = (int)standin_now.lane, from = lane - (int)by;
    return standin_take(mask, v, from < (lane & ~(width - 1)) ? lane : from, line);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, STANDIN_LINE) {
    int lane = (int)standin_now.lane;
    return standin_take(mask, v, (lane & (width - 1)) + (int)by >= width ? lane : lane + (int)by, line);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int by, int width = 32, STANDIN_LINE) {
    int lane = (int)standin_now.lane, from = lane ^ by;
    return standin_take(mask, v, from >= (lane & ~(width - 1)) + width ? lane : from, line);
}
static inline unsigned __ballot_sync(unsigned mask, int p, STANDIN_LINE) {
    unsigned v = p != 0, out;
    standin_warp(standin_ballot, mask, line, 0, &v, 4, &out, 4);
    return out;
}
static inline int __any_sync(unsigned mask, int p, STANDIN_LINE) { return __ballot_sync(mask, p, line) != 0; }
static inline int __all_sync(unsigned mask, int p, STANDIN_LINE) { return __ballot_sync(mask, p, line) == mask; }
template <class T> static inline unsigned __match_any_sync(unsigned mask, T v, STANDIN_LINE) {
    unsigned out;
    standin_warp(standin_match, mask, line, 0, &v, sizeof v, &out, 4);
    return out;
}
#define STANDIN_REDUCE(name, T, kind)                                                         \
    static inline T name(unsigned mask, T v, STANDIN_LINE) {                                  \
        T out;                                                                                \
        standin_warp(standin_reduce, mask, line, kind, &v, sizeof v, &out, sizeof out);       \
        return out;                                                                           \
    }
STANDIN_REDUCE(__reduce_add_sync, unsigned, 0)
STANDIN_REDUCE(__reduce_add_sync, int, 0)
STANDIN_REDUCE(__reduce_min_sync, unsigned, 1)
STANDIN_REDUCE(__reduce_max_sync, unsigned, 2)
STANDIN_REDUCE(__reduce_min_sync, int, 3)
STANDIN_REDUCE(__reduce_max_sync, int, 4)
STANDIN_REDUCE(__reduce_and_sync, unsigned, 5)
STANDIN_REDUCE(__reduce_or_sync, unsigned, 6)
STANDIN_REDUCE(__reduce_xor_sync, unsigned, 7)

// The type comes from the pointer alone, as with the device's overloads.
template <class T> struct standin_same { typedef T type; };
#define STANDIN_ATOMIC_OF(name, expression)                                                   \
    template <class T> static inline T name(T *p, typename standin_same<T>::type v) {         \
        T old, now;                                                                           \
        standin_atomic_load(p, &old, sizeof old);                                             \
        now = expression;                                                                     \
        standin_atomic_store(p, &now, sizeof now);                                            \
        return old;                                                                           \
    }
STANDIN_ATOMIC_OF(atomicAdd, old + v)
STANDIN_ATOMIC_OF(atomicSub, old - v)
STANDIN_ATOMIC_OF(atomicExch, v)
STANDIN_ATOMIC_OF(atomicMin, v < old ? v : old)
STANDIN_ATOMIC_OF(atomicMax, old < v ? v : old)
STANDIN_ATOMIC_OF(atomicAnd, old & v)
STANDIN_ATOMIC_OF(atomicOr, old | v)
STANDIN_ATOMIC_OF(atomicXor, old ^ v)
STANDIN_ATOMIC_OF(atomicInc, old >= v ? 0 : old + 1)
STANDIN_ATOMIC_OF(atomicDec, old == 0 || old > v ? v : old - 1)
template <class T>
static inline T atomicCAS(T *p, typename standin_same<T>::type expected, typename standin_same<T>::type v) {
    T old, now;
    standin_atomic_load(p, &old, sizeof old);
    now = old == expected ? v : old;
    standin_atomic_store(p, &now, sizeof now);
    return old;
}

// Instructions that kernels may write as text; a kind of element is 0 for bf16, 1 for f16, 2 for tf32.
typedef unsigned standin_u32;
template <int K, int KIND, class... R> static inline void standin_multiply(float *d, int line, R... registers) {
    standin_u32 in[] = {registers...};
    standin_warp(standin_mma, 0xffffffffu, line, 100 * K + KIND, in, sizeof in, d, 16);
}
#define STANDIN_MMA_2(name, k, kind)                                                                                            \
    static inline void standin_ptx_mma_sync_aligned_##name(float &d0, float &d1, float &d2, float &d3, standin_u32 a0,          \
                                                           standin_u32 a1, standin_u32 b0, float c0, float c1, float c2,        \
                                                           float c3, STANDIN_LINE) {                                            \
        float d[4];                                                                                                             \
        standin_multiply<k, kind>(d, line, a0, a1, b0, __float_as_uint(c0), __float_as_uint(c1), __float_as_uint(c2),           \
                                  __float_as_uint(c3));                                                                         \
        d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];                                                                             \
    }
#define STANDIN_MMA_4(name, k, kind)                                                                                            \
    static inline void standin_ptx_mma_sync_aligned_##name(float &d0, float &d1, float &d2, float &d3, standin_u32 a0,          \
                                                           standin_u32 a1, standin_u32 a2, standin_u32 a3, standin_u32 b0,      \
                                                           standin_u32 b1, float c0, float c1, float c2, float c3,              \
                                                           STANDIN_LINE) {                                                      \
        float d[4];                                                                                                             \
        standin_multiply<k, kind>(d, line, a0, a1, a2, a3, b0, b1, __float_as_uint(c0), __float_as_uint(c1),                    \
                                  __float_as_uint(c2), __float_as_uint(c3));                                                    \
        d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];                                                                             \
    }
STANDIN_MMA_4(m16n8k16_row_col_f32_bf16_bf16_f32, 16, 0)
STANDIN_MMA_4(m16n8k16_row_col_f32_f16_f16_f32, 16, 1)
STANDIN_MMA_4(m16n8k8_row_col_f32_tf32_tf32_f32, 8, 2)
STANDIN_MMA_2(m16n8k8_row_col_f32_bf16_bf16_f32, 8, 0)
STANDIN_MMA_2(m16n8k8_row_col_f32_f16_f16_f32, 8, 1)
#define STANDIN_MATRIX(trans, kind)                                                                                             \
    static inline void standin_ptx_ldmatrix_sync_aligned_m8n8_x1##trans##_shared_b16(standin_u32 &r0, standin_u32 a,            \
                                                                                     STANDIN_LINE) {                            \
        standin_warp(standin_matrix, 0xffffffffu, line, kind + 1, &a, 4, &r0, 4);                                               \
    }                                                                                                                           \
    static inline void standin_ptx_ldmatrix_sync_aligned_m8n8_x2##trans##_shared_b16(standin_u32 &r0, standin_u32 &r1,          \
                                                                                     standin_u32 a, STANDIN_LINE) {             \
        standin_u32 r[2];                                                                                                       \
        standin_warp(standin_matrix, 0xffffffffu, line, kind + 2, &a, 4, r, 8);                                                 \
        r0 = r[0], r1 = r[1];                                                                                                   \
    }                                                                                                                           \
    static inline void standin_ptx_ldmatrix_sync_aligned_m8n8_x4##trans##_shared_b16(                                           \
        standin_u32 &r0, standin_u32 &r1, standin_u32 &r2, standin_u32 &r3, standin_u32 a, STANDIN_LINE) {                      \
        standin_u32 r[4];                                                                                                       \
        standin_warp(standin_matrix, 0xffffffffu, line, kind + 4, &a, 4, r, 16);                                                \
        r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];                                                                             \
    }
STANDIN_MATRIX(, 0)
STANDIN_MATRIX(_trans, 10)
static inline void standin_ptx_cp_async_cg_shared_global(standin_u32 to, const void *from, int bytes, int present = 16) {
    standin_copy_later(to, from, bytes, present < bytes ? present : bytes);
}
static inline void standin_ptx_cp_async_ca_shared_global(standin_u32 to, const void *from, int bytes, int present = 16) {
    standin_copy_later(to, from, bytes, present < bytes ? present : bytes);
}
static inline void standin_ptx_cp_async_commit_group() { standin_copy_commit(); }
static inline void standin_ptx_cp_async_wait_group(int open) { standin_copy_wait(open); }
static inline void standin_ptx_cp_async_wait_all() {
    standin_copy_commit();
    standin_copy_wait(0);
}
static inline standin_u32 standin_bf16(float v) {
    standin_u32 b = __float_as_uint(v);
    return v != v ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16;
}
static inline void standin_ptx_cvt_rn_bf16x2_f32(standin_u32 &d, float high, float low) {
    d = standin_bf16(high) << 16 | standin_bf16(low);
}
static inline void standin_ptx_cvt_rn_bf16_f32(unsigned short &d, float v) { d = (unsigned short)standin_bf16(v); }
static inline void standin_ptx_ex2_approx_f32(float &d, float v) { d = exp2f(v); }
static inline void standin_ptx_ex2_approx_ftz_f32(float &d, float v) { d = exp2f(v); }
static inline void standin_ptx_lg2_approx_f32(float &d, float v) { d = log2f(v); }
static inline void standin_ptx_rcp_approx_f32(float &d, float v) { d = 1.0f / v; }
static inline void standin_ptx_tanh_approx_f32(float &d, float v) { d = tanhf(v); }

// The entry of a kernel: the arguments as `cuLaunchKernel` gives them.
template <int... I> struct standin_numbers {};
#ifdef __clang__
template <class T, T... I> struct standin_sequence { typedef standin_numbers<I...> type; };
template <int N> using standin_count = typename __make_integer_seq<standin_sequence, int, N>::type;
#else
template <int N> using standin_count = standin_numbers<__integer_pack(N)...>;
#endif
template <class... A, int... I>
__attribute__((no_sanitize("thread"))) void standin_enter(void (*f)(A...), void **a, standin_numbers<I...>) {
    f(*(A *)a[I]...);
}
template <class... A> void standin_call(void (*f)(A...), void **a) { standin_enter(f, a, standin_count<sizeof...(A)>()); }
template <class... A> struct standin_sizes_of {
    static constexpr unsigned list[] = {(unsigned)sizeof...(A), (unsigned)sizeof(A)..., 0};
};
template <class... A> constexpr const unsigned *standin_sizes(void (*)(A...)) { return standin_sizes_of<A...>::list; }

// Small programs on the stand-in device, one a run: `try NAME`. Right ones print `right`; planted faults print which answer the
// driver gave. What the device itself has to say goes to stderr. The kernels are as plain as the ones that nnc writes.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned), cuDevicePrimaryCtxRetain(void **, int), cuCtxSetCurrent(void *), cuMemAlloc_v2(void **, size_t), cuMemFree_v2(void *);
int cuMemHostAlloc(void **, size_t, unsigned), cuMemcpyHtoD_v2(void *, const void *, size_t), cuMemcpyDtoH_v2(void *, const void *, size_t);
int cuMemcpyHtoDAsync_v2(void *, const void *, size_t, void *), cuMemcpyDtoHAsync_v2(void *, const void *, size_t, void *);
int cuMemsetD8Async(void *, unsigned char, size_t, void *);
int cuModuleLoadData(void **, const void *), cuModuleGetFunction(void **, void *, const char *), cuModuleUnload(void *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cuStreamCreate(void **, unsigned), cuStreamSynchronize(void *), cuStreamBeginCapture_v2(void *, int), cuStreamEndCapture(void *, void **);
int cuStreamWaitEvent(void *, void *, unsigned), cuEventCreate(void **, unsigned), cuEventRecord(void *, void *), cuEventSynchronize(void *);
int cuGraphInstantiateWithFlags(void **, void *, unsigned long long), cuGraphLaunch(void *, void *), cuGraphDestroy(void *), cuGraphExecDestroy(void *);
int cuGetErrorName(int, const char **);
int nvrtcCreateProgram(void **, const char *, const char *, int, const char *const *, const char *const *), nvrtcDestroyProgram(void **);
int nvrtcCompileProgram(void *, int, const char *const *), nvrtcGetProgramLogSize(void *, size_t *), nvrtcGetProgramLog(void *, char *);
int nvrtcGetCUBINSize(void *, size_t *), nvrtcGetCUBIN(void *, char *);
int cublasLtCreate(void **), cublasLtMatmulDescCreate(void **, int, int), cublasLtMatmulDescSetAttribute(void *, int, const void *, size_t);
int cublasLtMatrixLayoutCreate(void **, int, uint64_t, uint64_t, int64_t), cublasLtMatmulPreferenceCreate(void **);
int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int, void *, int *);
int cublasLtMatmul(void *, void *, const void *, const void *, void *, const void *, void *, const void *, const void *, void *, void *, void *, const void *, void *, size_t, void *);
}

namespace {

std::string prelude, sample;

std::string read(const char *path) {
    std::ifstream in(path);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

[[noreturn]] void end(const std::string &what) {
    printf("%s\n", what.c_str());
    exit(0);
}

std::string name(int code) {
    const char *text = nullptr;
    cuGetErrorName(code, &text);
    return text ? text : "no name for " + std::to_string(code);
}

void good(int code, const char *what) {
    if (code) end(std::string(what) + ": " + name(code));
}
#define GOOD(call) good(call, #call)

void *module_of(const std::string &text) {
    void *program, *module;
    size_t bytes;
    const char *options[] = {"--gpu-architecture=sm_90", "--fmad=false", "--std=c++17"};
    nvrtcCreateProgram(&program, text.c_str(), "kernels.cu", 0, nullptr, nullptr);
    int code = nvrtcCompileProgram(program, 3, options);
    if (code) {
        nvrtcGetProgramLogSize(program, &bytes);
        std::string log(bytes, 0);
        nvrtcGetProgramLog(program, &log[0]);
        end("does not compile: " + log);
    }
    nvrtcGetCUBINSize(program, &bytes);
    std::vector<char> image(bytes);
    nvrtcGetCUBIN(program, image.data());
    nvrtcDestroyProgram(&program);
    GOOD(cuModuleLoadData(&module, image.data()));
    return module;
}

void *kernel(const std::string &text, const char *called = "k") {
    void *f;
    GOOD(cuModuleGetFunction(&f, module_of(prelude + text), called));
    return f;
}

template <class T> T *device(const std::vector<T> &values) {
    void *p;
    GOOD(cuMemAlloc_v2(&p, values.size() * sizeof(T)));
    GOOD(cuMemcpyHtoD_v2(p, values.data(), values.size() * sizeof(T)));
    return (T *)p;
}
template <class T> T *device(size_t n) {
    void *p;
    GOOD(cuMemAlloc_v2(&p, n * sizeof(T)));
    return (T *)p;
}
template <class T> std::vector<T> host(T *p, size_t n) {
    std::vector<T> v(n);
    GOOD(cuMemcpyDtoH_v2(v.data(), p, n * sizeof(T)));
    return v;
}

template <class... A> int launch(void *f, unsigned grid, unsigned block, void *stream, A... a) {
    void *list[] = {&a...};
    return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, 0, stream, list, nullptr);
}

// Runs a kernel of one pointer over some ones and says what the device answers.
void answer(const char *text, unsigned grid = 1, unsigned block = 64, size_t n = 64) {
    float *a = device(std::vector<float>(n, 1.0f));
    int code = launch(kernel(text), grid, block, nullptr, a);
    end(name(code));
}

std::vector<float> numbers(size_t n) {
    std::vector<float> v(n);
    for (size_t i = 0; i < n; i++) v[i] = (float)((i * 2654435761u >> 7) % 1000) / 500.0f - 1.0f;
    return v;
}

void close(const std::vector<float> &found, const std::vector<double> &wanted, double tolerance) {
    for (size_t i = 0; i < wanted.size(); i++)
        if (!(std::fabs(found[i] - wanted[i]) <= tolerance * (1 + std::fabs(wanted[i]))))
            end("element " + std::to_string(i) + " is " + std::to_string(found[i]) + ", not " + std::to_string(wanted[i]));
}

// --- what must work

const char *ADD = R"(
extern "C" __global__ void __launch_bounds__(256) k(float* __restrict__ o, const float* __restrict__ a, const float* b, int n) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) o[i] = a[i] + b[i];
})";

void add() {
    size_t n = 1000;
    std::vector<float> a = numbers(n), b = numbers(2 * n);
    float *o = device<float>(n);
    GOOD(launch(kernel(ADD), 4, 256, nullptr, o, device(a), device(b), (int)n));
    std::vector<double> wanted(n);
    for (size_t i = 0; i < n; i++) wanted[i] = a[i] + b[i];
    close(host(o, n), wanted, 0);
}

void sums() {
    std::vector<float> a = numbers(64000);
    float *o = device<float>(640);
    GOOD(launch(kernel(sample, "nn_sum"), 640, 128, nullptr, o, device(a)));
    std::vector<double> wanted(640);
    for (int i = 0; i < 64000; i++) wanted[i / 100] += a[i];
    close(host(o, 640), wanted, 1e-6);
}

void lanes() {
    int *o = device<int>(64 * 8);
    GOOD(launch(kernel(R"(
extern "C" __global__ void k(int* o) {
  const int t = (int)threadIdx.x;
  o[t] = __shfl_sync(0xffffffffu, t, 5);
  o[64 + t] = __shfl_xor_sync(0xffffffffu, t, 3);
  o[128 + t] = __shfl_down_sync(0xffffffffu, t, 2);
  o[192 + t] = __shfl_up_sync(0xffffffffu, t, 2);
  o[256 + t] = (int)__ballot_sync(0xffffffffu, t % 3 == 0);
  o[320 + t] = t % 32 < 16 ? __shfl_xor_sync(0x0000ffffu, t, 8) : -1;
  o[384 + t] = __shfl_sync(0xffffffffu, t, 1, 8);
  o[448 + t] = __syncthreads_count(t & 1);
})"), 1, 64, nullptr, o));
    std::vector<int> v = host(o, 512);
    for (int t = 0; t < 64; t++) {
        int base = t & 32, lane = t & 31, votes = 0;
        for (int l = 0; l < 32; l++) votes |= (base + l) % 3 == 0 ? (int)(1u << l) : 0;
        int wanted[] = {base + 5, t ^ 3, lane + 2 < 32 ? t + 2 : t, lane >= 2 ? t - 2 : t, votes, lane < 16 ? t ^ 8 : -1, (t & ~7) + 1, 32};
        for (int i = 0; i < 8; i++)
            if (v[i * 64 + t] != wanted[i]) end("lane " + std::to_string(t) + " of " + std::to_string(i) + " has " + std::to_string(v[i * 64 + t]));
    }
}

// A step as one graph: a copy in, two kernels on two streams, a copy out; played three times.
void graph() {
    size_t n = 500;
    void *s, *t, *e, *g, *x, *in, *out;
    GOOD(cuStreamCreate(&s, 1));
    GOOD(cuStreamCreate(&t, 1));
    GOOD(cuEventCreate(&e, 2));
    GOOD(cuMemHostAlloc(&in, n * 4, 0));
    GOOD(cuMemHostAlloc(&out, n * 4, 0));
    float *a = device<float>(n), *b = device<float>(n), *c = device<float>(n), *d = device<float>(n);
    void *f = kernel(ADD);
    GOOD(cuStreamBeginCapture_v2(s, 2));
    GOOD(cuMemcpyHtoDAsync_v2(a, in, n * 4, s));
    GOOD(cuMemsetD8Async(d, 0, n * 4, s));
    GOOD(cuEventRecord(e, s));
    GOOD(cuStreamWaitEvent(t, e, 0));
    GOOD(launch(f, 2, 256, s, b, a, a, (int)n));
    GOOD(launch(f, 2, 256, t, c, a, d, (int)n));
    GOOD(cuEventRecord(e, t));
    GOOD(cuStreamWaitEvent(s, e, 0));
    GOOD(launch(f, 2, 256, s, d, b, c, (int)n));
    GOOD(cuMemcpyDtoHAsync_v2(out, d, n * 4, s));
    GOOD(cuStreamEndCapture(s, &g));
    GOOD(cuGraphInstantiateWithFlags(&x, g, 0));
    GOOD(cuGraphDestroy(g));
    for (int round = 1; round <= 3; round++) {
        for (size_t i = 0; i < n; i++) ((float *)in)[i] = (float)i * (float)round;
        memset(out, 0, n * 4);
        GOOD(cuGraphLaunch(x, s));
        GOOD(cuStreamSynchronize(s));
        for (size_t i = 0; i < n; i++)
            if (((float *)out)[i] != 3.0f * (float)i * (float)round) end("round " + std::to_string(round) + " is wrong");
    }
    GOOD(cuGraphExecDestroy(x));
}

// Row by row: o = gelu(a b + bias), which the library computes column by column with the factors exchanged.
void library() {
    const size_t m = 7, n = 5, k = 11;
    std::vector<float> a = numbers(m * k), b = numbers(2 * k * n), bias = numbers(n);
    float *da = device(a), *db = device(b), *dbias = device(bias), *o = device<float>(m * n), one = 1, zero = 0;
    void *lt, *d, *la, *lb, *lo, *preference, *s;
    int epilogue = 36, found = 0;
    char heuristic[96];
    GOOD(cuStreamCreate(&s, 1));
    GOOD(cublasLtCreate(&lt));
    GOOD(cublasLtMatmulDescCreate(&d, 68, 0));
    GOOD(cublasLtMatmulDescSetAttribute(d, 7, &epilogue, 4));
    GOOD(cublasLtMatmulDescSetAttribute(d, 8, &dbias, 8));
    GOOD(cublasLtMatrixLayoutCreate(&la, 0, k, m, k));
    GOOD(cublasLtMatrixLayoutCreate(&lb, 0, n, k, n));
    GOOD(cublasLtMatrixLayoutCreate(&lo, 0, n, m, n));
    GOOD(cublasLtMatmulPreferenceCreate(&preference));
    GOOD(cublasLtMatmulAlgoGetHeuristic(lt, d, lb, la, lo, lo, preference, 1, heuristic, &found));
    GOOD(cublasLtMatmul(lt, d, &one, db, lb, da, la, &zero, o, lo, o, lo, heuristic, nullptr, 0, s));
    GOOD(cuStreamSynchronize(s));
    std::vector<double> wanted(m * n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double v = bias[j];
            for (size_t l = 0; l < k; l++) v += (double)a[i * k + l] * b[l * n + j];
            wanted[i * n + j] = 0.5 * v * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
        }
    close(host(o, m * n), wanted, 1e-6);
}

// One 16 by 8 tile of a product of bf16 matrices as instructions of the tensor units: rows of `a` come by asynchronous copies and
// `ldmatrix`, `b` by the same from its transpose.
const char *TILE = R"(
extern "C" __global__ void k(float* o, const nn_u16* a, const nn_u16* b) {
  __shared__ __align__(16) nn_u16 s[16 * 16 + 16 * 8];
  const unsigned lane = threadIdx.x, to = (unsigned)__cvta_generic_to_shared(s);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" :: "r"(to + lane * 16), "l"(a + lane * 8) : "memory");
  if (lane < 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to + 512 + lane * 16), "l"(b + lane * 8));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncwarp();
  unsigned a0, a1, a2, a3, b0, b1;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3) : "r"(to + (lane % 16) * 32 + lane / 16 * 16));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(b0), "=r"(b1) : "r"(to + 512 + (lane % 16) * 16));
  float c[4] = {0, 0, 0, 1};
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  const int g = (int)lane / 4, q = (int)lane % 4;
  o[g * 8 + 2 * q] = c[0];
  o[g * 8 + 2 * q + 1] = c[1];
  o[(g + 8) * 8 + 2 * q] = c[2];
  o[(g + 8) * 8 + 2 * q + 1] = c[3] - 1;
})";
void tile() {
    std::vector<unsigned short> a(256), b(128);
    std::vector<double> x, y, wanted(128);
    auto fill = [](std::vector<unsigned short> &v, std::vector<double> &values) {
        for (size_t i = 0; i < v.size(); i++) {
            float f = (float)((i * 37 % 17) - 8.0) / 4;
            uint32_t bits;
            memcpy(&bits, &f, 4);
            v[i] = (unsigned short)(bits >> 16);
            values.push_back(f);
        }
    };
    fill(a, x);
    fill(b, y);
    float *o = device<float>(128);
    GOOD(launch(kernel(TILE), 1, 32, nullptr, o, device(a), device(b)));
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++)
            for (int l = 0; l < 16; l++) wanted[i * 8 + j] += x[i * 16 + l] * y[l * 8 + j];
    close(host(o, 128), wanted, 0);
}
// The copy is not waited for.
void tile_too_early() {
    std::string text = TILE;
    size_t from = text.find("  asm volatile(\"cp.async.wait");
    text.erase(from, text.find('\n', from) - from);
    std::vector<unsigned short> a(256, 0x3f80), b(128, 0x3f80);
    float *o = device<float>(128);
    GOOD(launch(kernel(text), 1, 32, nullptr, o, device(a), device(b)));
    close(host(o, 128), std::vector<double>(128, 16), 0);
}
void no_instruction() { kernel("extern \"C\" __global__ void k(float* a) { asm volatile(\"wgmma.fence.sync.aligned;\"); a[0] = 1; }"); }

// --- what must be caught

const char *REVERSE = R"(
extern "C" __global__ void k(float* a) {
  __shared__ float s[64];
  s[threadIdx.x] = a[threadIdx.x] + (float)threadIdx.x;
  BARRIER
  a[threadIdx.x] = s[63 - threadIdx.x];
})";

std::string reverse(const char *barrier) {
    std::string text = REVERSE;
    text.replace(text.find("BARRIER"), 7, barrier);
    return text;
}

void no_barrier() { answer(reverse("").c_str()); }
void with_barrier() { answer(reverse("__syncthreads();").c_str()); }
// All lanes of each warp read an element that the first of them then writes.
void warp_reads(const char *meeting) {
    float *a = device(std::vector<float>(66, 1.0f));
    std::string text = "extern \"C\" __global__ void k(float* a) { float v = a[threadIdx.x >> 5]; a[2 + threadIdx.x] = v; ";
    text += std::string(meeting) + " if ((threadIdx.x & 31) == 0) a[threadIdx.x >> 5] = v + 1.0f; }";
    end(name(launch(kernel(text.c_str()), 1, 64, nullptr, a)));
}
void warp_meets() { warp_reads("__syncwarp();"); }
void warp_does_not_meet() { warp_reads(""); }
// Without the checks of single accesses the values are wrong.
void no_barrier_values() {
    float *a = device(std::vector<float>(64, 1.0f));
    GOOD(launch(kernel(reverse("")), 1, 64, nullptr, a));
    std::vector<double> wanted(64);
    for (int i = 0; i < 64; i++) wanted[i] = 64 - i;
    close(host(a, 64), wanted, 0);
}
void race_between_blocks() { answer("extern \"C\" __global__ void k(float* a) { a[threadIdx.x] = (float)blockIdx.x; }", 2); }
void behind() { answer("extern \"C\" __global__ void k(float* a) { a[threadIdx.x + 1] = 2.0f; }", 1, 63, 63); }
void before() { answer("extern \"C\" __global__ void k(float* a) { a[(int)threadIdx.x - 1] = 2.0f; }"); }
void far() { answer("extern \"C\" __global__ void k(float* a) { a[(size_t)threadIdx.x * 100000] = 2.0f; }"); }
void read_behind() { answer("extern \"C\" __global__ void k(float* a) { a[threadIdx.x] = a[threadIdx.x + 1] * 0.5f; }", 1, 1, 1); }
void never_written() {
    float *a = device<float>(64), *b = device<float>(64);
    end(name(launch(kernel("extern \"C\" __global__ void k(float* a, float* b) { b[threadIdx.x] = a[threadIdx.x]; }"), 1, 64, nullptr, a, b)));
}
void shared_index() { answer("extern \"C\" __global__ void k(float* a) { __shared__ float s[32]; s[threadIdx.x] = a[0]; __syncthreads(); a[threadIdx.x] = s[threadIdx.x]; }"); }
void misaligned() { answer("extern \"C\" __global__ void k(float* a) { *(nn_f4*)(a + threadIdx.x * 4 + 1) = nn_f4{1, 2, 3, 4}; }", 1, 8); }
void division() { answer("extern \"C\" __global__ void k(float* a) { a[threadIdx.x] = (float)(100 / ((int)threadIdx.x - 7)); }"); }
void divergent() { answer("extern \"C\" __global__ void k(float* a) {\n if (threadIdx.x < 40) __syncthreads();\n a[threadIdx.x] = 2.0f;\n}"); }
void two_barriers() { answer("extern \"C\" __global__ void k(float* a) {\n if (threadIdx.x < 40) {\n __syncthreads();\n } else {\n __syncthreads();\n }\n a[threadIdx.x] = 2.0f;\n}"); }
void mask_without() { answer("extern \"C\" __global__ void k(float* a) { a[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, a[threadIdx.x], 1); }"); }
void mask_absent() { answer("extern \"C\" __global__ void k(float* a) { if (threadIdx.x % 32 < 16) a[threadIdx.x] = __shfl_xor_sync(0xffffffffu, a[threadIdx.x], 1); }"); }
void mask_source() { answer("extern \"C\" __global__ void k(float* a) { if (threadIdx.x % 32 < 16) a[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, a[threadIdx.x], 16); }"); }
void part_of_a_warp() { answer("extern \"C\" __global__ void k(float* a) { a[threadIdx.x] = __shfl_xor_sync(0xffffffffu, a[threadIdx.x], 1); }", 1, 48); }
void deadlock() { answer("extern \"C\" __global__ void k(float* a) { if (threadIdx.x % 32 == 0) __syncthreads(); __syncwarp(); a[threadIdx.x] = 2.0f; }"); }
void too_many() { answer("extern \"C\" __global__ void __launch_bounds__(32) k(float* a) { a[threadIdx.x] = 2.0f; }"); }
void syntax() { kernel("extern \"C\" __global__ void k(float* a) {\n  a[0] = nothing;\n}"); }
void include() { kernel("\n#include <cuda_fp16.h>\nextern \"C\" __global__ void k(float* a) { a[0] = 1; }"); }
void much_shared() { kernel("extern \"C\" __global__ void k(float* a) { __shared__ float s[13000]; s[threadIdx.x] = 1; a[0] = s[1]; }"); }

// The host goes on before the device has read: with work done late, the later value arrives.
void pinned_too_early() {
    void *s, *in;
    GOOD(cuStreamCreate(&s, 1));
    GOOD(cuMemHostAlloc(&in, 4, 0));
    float *a = device<float>(1);
    *(float *)in = 1;
    GOOD(cuMemcpyHtoDAsync_v2(a, in, 4, s));
    *(float *)in = 2;
    GOOD(cuStreamSynchronize(s));
    end(std::to_string((int)host(a, 1)[0]));
}
void read_too_early() {
    void *s, *out;
    GOOD(cuStreamCreate(&s, 1));
    GOOD(cuMemHostAlloc(&out, 4, 0));
    *(float *)out = 5;
    float *a = device(std::vector<float>(1, 7.0f));
    GOOD(cuMemcpyDtoHAsync_v2(out, a, 4, s));
    end(std::to_string((int)*(float *)out));
}
void wait_in_capture() {
    void *s, *g;
    float *a = device<float>(8);
    GOOD(cuStreamCreate(&s, 1));
    GOOD(cuStreamBeginCapture_v2(s, 0));
    GOOD(cuMemsetD8Async(a, 0, 32, s));
    int code = cuStreamSynchronize(s);
    end(name(code) + " " + name(cuStreamEndCapture(s, &g)));
}
void not_joined() {
    void *s, *t, *e, *g;
    float *a = device<float>(8);
    GOOD(cuStreamCreate(&s, 1));
    GOOD(cuStreamCreate(&t, 1));
    GOOD(cuEventCreate(&e, 2));
    GOOD(cuStreamBeginCapture_v2(s, 0));
    GOOD(cuEventRecord(e, s));
    GOOD(cuStreamWaitEvent(t, e, 0));
    GOOD(cuMemsetD8Async(a, 0, 32, t));
    end(name(cuStreamEndCapture(s, &g)));
}
void copy_too_long() {
    float *a = device<float>(8);
    std::vector<float> b(9);
    end(name(cuMemcpyDtoH_v2(b.data(), a, 36)));
}
void memory() {
    void *p;
    end(name(cuMemAlloc_v2(&p, (size_t)16 << 30)));
}

} // namespace

int main(int count, char **words) {
    static const std::map<std::string, void (*)()> all = {
        {"add", add}, {"sums", sums}, {"lanes", lanes}, {"graph", graph}, {"library", library}, {"tile", tile}, {"tile_too_early", tile_too_early}, {"no_instruction", no_instruction}, {"no_barrier", no_barrier}, {"warp_meets", warp_meets}, {"warp_does_not_meet", warp_does_not_meet},
        {"with_barrier", with_barrier}, {"no_barrier_values", no_barrier_values}, {"race_between_blocks", race_between_blocks},
        {"behind", behind}, {"before", before}, {"far", far}, {"read_behind", read_behind}, {"never_written", never_written},
        {"shared_index", shared_index}, {"misaligned", misaligned}, {"division", division}, {"divergent", divergent},
        {"two_barriers", two_barriers}, {"mask_without", mask_without}, {"mask_absent", mask_absent}, {"mask_source", mask_source},
        {"part_of_a_warp", part_of_a_warp}, {"deadlock", deadlock}, {"too_many", too_many}, {"syntax", syntax}, {"include", include},
        {"much_shared", much_shared}, {"pinned_too_early", pinned_too_early}, {"read_too_early", read_too_early},
        {"wait_in_capture", wait_in_capture}, {"not_joined", not_joined}, {"copy_too_long", copy_too_long}, {"memory", memory},
    };
    if (count != 4 || !all.count(words[1])) {
        fprintf(stderr, "try NAME PRELUDE SAMPLE\n");
        return 2;
    }
    prelude = read(words[2]);
    sample = read(words[3]);
    void *context;
    GOOD(cuInit(0));
    GOOD(cuDevicePrimaryCtxRetain(&context, 0));
    GOOD(cuCtxSetCurrent(context));
    all.at(words[1])();
    end("right");
}

// Products of matrices as the library computes them, by plain loops in double precision and rounded once at the end. Layouts,
// batches, scales and the epilogues that training uses; what is not here answers NOT_SUPPORTED. Sizes that do not fit each other
// and memory outside buffers are refused.
#include "core.h"
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

using standin::Work;
using u64 = uint64_t;

namespace {

enum { OK = 0, INVALID = 7, FAILED = 13, UNSUPPORTED = 15 };
enum { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };
enum { RELU = 2, BIAS = 4, RELU_BIAS = 6, GELU = 32, GELU_BIAS = 36, GELU_AUX = 160, GELU_AUX_BIAS = 164, DGELU = 192,
       DGELU_BGRAD = 208, BGRADA = 256, BGRADB = 512, PLAIN = 1 };
enum { COMPUTE_F32 = 68, COMPUTE_F32_PEDANTIC = 69, COMPUTE_TF32 = 77, COMPUTE_F64 = 70 };

struct Layout {
    int type = F32, order = 0, batch = 1;
    u64 rows = 0, cols = 0;
    int64_t ld = 0, stride = 0;
};
struct Description {
    int compute = COMPUTE_F32, scale = F32, pointers = 0, trans_a = 0, trans_b = 0, epilogue = PLAIN, bias_type = -1, aux_type = -1;
    char *bias = nullptr, *aux = nullptr;
    int64_t bias_stride = 0, aux_ld = 0, aux_stride = 0;
};
struct Algorithm {
    u64 data[8];
};
struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

int complain(int code, const char *why) {
    fprintf(stderr, "stand-in device: cublasLt: %s\n", why);
    return code;
}

size_t bytes_of(int type) { return type == F64 ? 8 : type == F32 ? 4 : type == F16 || type == BF16 ? 2 : 0; }

double load(const char *p, int type, u64 i) {
    if (type == F64) return ((const double *)p)[i];
    if (type == F32) return ((const float *)p)[i];
    uint16_t h = ((const uint16_t *)p)[i];
    if (type == BF16) {
        uint32_t bits = (uint32_t)h << 16;
        float f;
        memcpy(&f, &bits, 4);
        return f;
    }
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? std::ldexp(1024 + m, e - 25) : std::ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

void store(char *p, int type, u64 i, double v) {
    if (type == F64) {
        ((double *)p)[i] = v;
        return;
    }
    float f = (float)v;
    if (type == F32) {
        ((float *)p)[i] = f;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint16_t h;
    if (type == BF16) {
        h = std::isnan(f) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    } else {
        uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
        double a = std::fabs((double)f);
        if (std::isnan(f)) h = 0x7fff;
        else if (a >= 65520) h = sign | 0x7c00;
        else if (a < std::ldexp(1, -14)) h = (uint16_t)(sign | (uint16_t)std::nearbyint(std::ldexp(a, 24)));
        else {
            int e;
            std::frexp(a, &e);
            u64 m = (u64)std::nearbyint(std::ldexp(a, 11 - e)); // 1024 … 2048
            h = (uint16_t)(sign | (uint16_t)(((e + 14) << 10) + (m - 1024)));
        }
    }
    ((uint16_t *)p)[i] = h;
}

u64 place(const Layout &l, u64 row, u64 col) {
    return l.order ? row * (u64)l.ld + col : col * (u64)l.ld + row;
}
u64 reach(const Layout &l) {
    if (!l.rows || !l.cols) return 0;
    return place(l, l.rows - 1, l.cols - 1) + 1 + (u64)(l.batch - 1) * (u64)l.stride;
}

double tf32(double v) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
    memcpy(&f, &bits, 4);
    return f;
}

double gelu(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
double gelu_slope(double x) {
    double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

struct Product {
    Description d;
    Layout la, lb, lc, ld;
    const char *a, *b, *c;
    char *out;
    double alpha, beta;
};

int check(const Description &d, const Layout &a, const Layout &b, const Layout &c, const Layout &o) {
    for (const Layout *l : {&a, &b, &c, &o}) {
        if (!bytes_of(l->type) || l->order > 1) return UNSUPPORTED;
        if ((u64)l->ld < (l->order ? l->cols : l->rows)) return complain(INVALID, "a leading dimension below the matrix's");
        if (l->batch != o.batch) return complain(INVALID, "numbers of batches differ");
    }
    u64 m = d.trans_a ? a.cols : a.rows, k = d.trans_a ? a.rows : a.cols;
    u64 k2 = d.trans_b ? b.cols : b.rows, n = d.trans_b ? b.rows : b.cols;
    if (k != k2 || o.rows != m || o.cols != n || c.rows != m || c.cols != n) return complain(INVALID, "sizes that do not fit");
    if (a.type != b.type || c.type != o.type) return UNSUPPORTED;
    bool half = a.type == F16 || a.type == BF16;
    if (d.compute == COMPUTE_F64 ? a.type != F64 || o.type != F64 || d.scale != F64
                                 : (!half && a.type != F32) || (o.type != a.type && o.type != F32) || d.scale != F32)
        return UNSUPPORTED;
    if (d.compute != COMPUTE_F32 && d.compute != COMPUTE_F32_PEDANTIC && d.compute != COMPUTE_TF32 && d.compute != COMPUTE_F64) return UNSUPPORTED;
    switch (d.epilogue) {
    case PLAIN: case RELU: case BIAS: case RELU_BIAS: case GELU: case GELU_BIAS: case GELU_AUX: case GELU_AUX_BIAS:
    case DGELU: case DGELU_BGRAD: case BGRADA: case BGRADB: return OK;
    default: return UNSUPPORTED;
    }
}

standin::Result compute(const Product &p) {
    const Description &d = p.d;
    u64 m = p.ld.rows, n = p.ld.cols, k = d.trans_a ? p.la.rows : p.la.cols;
    std::vector<double> a(m * k), b(n * k);
    int e = d.epilogue;
    bool with_bias = e == BIAS || e == RELU_BIAS || e == GELU_BIAS || e == GELU_AUX_BIAS;
    bool with_aux = e == GELU_AUX || e == GELU_AUX_BIAS || e == DGELU || e == DGELU_BGRAD;
    int bias_type = d.bias_type >= 0 ? d.bias_type : p.ld.type, aux_type = d.aux_type >= 0 ? d.aux_type : p.ld.type;
    for (int z = 0; z < p.ld.batch; z++) {
        const char *pa = p.a + (u64)z * (u64)p.la.stride * bytes_of(p.la.type), *pb = p.b + (u64)z * (u64)p.lb.stride * bytes_of(p.lb.type);
        const char *pc = p.c + (u64)z * (u64)p.lc.stride * bytes_of(p.lc.type);
        char *po = p.out + (u64)z * (u64)p.ld.stride * bytes_of(p.ld.type);
        char *bias = d.bias + (u64)z * (u64)d.bias_stride * bytes_of(bias_type), *aux = d.aux + (u64)z * (u64)d.aux_stride * bytes_of(aux_type);
        bool low = d.compute == COMPUTE_TF32 && p.la.type == F32;
        for (u64 i = 0; i < m; i++)
            for (u64 j = 0; j < k; j++) {
                double v = load(pa, p.la.type, d.trans_a ? place(p.la, j, i) : place(p.la, i, j));
                a[i * k + j] = low ? tf32(v) : v;
            }
        for (u64 i = 0; i < n; i++)
            for (u64 j = 0; j < k; j++) {
                double v = load(pb, p.lb.type, d.trans_b ? place(p.lb, i, j) : place(p.lb, j, i));
                b[i * k + j] = low ? tf32(v) : v;
            }
        std::vector<double> sums(e == DGELU_BGRAD ? m : 0);
        for (u64 i = 0; i < m; i++)
            for (u64 j = 0; j < n; j++) {
                const double *x = &a[i * k], *y = &b[j * k];
                double sum = 0;
                for (u64 l = 0; l < k; l++) sum += x[l] * y[l];
                double v = p.alpha * sum;
                if (p.beta != 0) v += p.beta * load(pc, p.lc.type, place(p.lc, i, j));
                if (with_bias) v += load(bias, bias_type, i);
                u64 at = with_aux ? j * (u64)d.aux_ld + i : 0;
                if (e == GELU_AUX || e == GELU_AUX_BIAS) store(aux, aux_type, at, v);
                if (e == RELU || e == RELU_BIAS) v = v > 0 ? v : 0;
                if (e == GELU || e == GELU_BIAS || e == GELU_AUX || e == GELU_AUX_BIAS) v = gelu(v);
                if (e == DGELU || e == DGELU_BGRAD) v *= gelu_slope(load(aux, aux_type, at));
                store(po, p.ld.type, place(p.ld, i, j), v);
                if (e == DGELU_BGRAD) sums[i] += v;
            }
        for (u64 i = 0; i < sums.size(); i++) store(bias, bias_type, i, sums[i]);
        if (e == BGRADA || e == BGRADB)
            for (u64 i = 0; i < (e == BGRADA ? m : n); i++) {
                double sum = 0;
                for (u64 l = 0; l < k; l++) sum += (e == BGRADA ? a : b)[i * k + l];
                store(bias, bias_type, i, sum);
            }
    }
    standin_wrote(p.out, reach(p.ld) * bytes_of(p.ld.type));
    u64 biases = e == BGRADB ? n : m;
    if (e == DGELU_BGRAD || e == BGRADA || e == BGRADB) standin_wrote(d.bias, biases * bytes_of(bias_type));
    if (e == GELU_AUX || e == GELU_AUX_BIAS) standin_wrote(d.aux, (n - 1) * (u64)d.aux_ld + m);
    return standin::SUCCESS;
}

// Where each attribute lies, and how many bytes it has.
template <class T> int set(T *to, const void *from, size_t bytes) {
    if (bytes != sizeof(T)) return complain(INVALID, "an attribute of the wrong size");
    memcpy(to, from, bytes);
    return OK;
}

} // namespace

extern "C" {

int cublasLtCreate(void **handle) {
    *handle = new int(0);
    return OK;
}
int cublasLtDestroy(void *handle) {
    delete (int *)handle;
    return OK;
}
size_t cublasLtGetVersion() { return 130000; }
const char *cublasLtGetStatusName(int status) {
    return status == OK ? "CUBLAS_STATUS_SUCCESS" : status == INVALID ? "CUBLAS_STATUS_INVALID_VALUE" : status == UNSUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_EXECUTION_FAILED";
}
const char *cublasLtGetStatusString(int status) { return cublasLtGetStatusName(status); }

int cublasLtMatmulDescCreate(Description **d, int compute, int scale) {
    *d = new Description;
    (*d)->compute = compute;
    (*d)->scale = scale;
    return OK;
}
int cublasLtMatmulDescDestroy(Description *d) {
    delete d;
    return OK;
}
int cublasLtMatmulDescSetAttribute(Description *d, int attribute, const void *from, size_t bytes) {
    switch (attribute) {
    case 0: return set(&d->compute, from, bytes);
    case 1: return set(&d->scale, from, bytes);
    case 2: return set(&d->pointers, from, bytes);
    case 3: return set(&d->trans_a, from, bytes);
    case 4: return set(&d->trans_b, from, bytes);
    case 7: return set(&d->epilogue, from, bytes);
    case 8: return set(&d->bias, from, bytes);
    case 10: return set(&d->bias_stride, from, bytes);
    case 11: return set(&d->aux, from, bytes);
    case 12: return set(&d->aux_ld, from, bytes);
    case 13: return set(&d->aux_stride, from, bytes);
    case 22: return set(&d->aux_type, from, bytes);
    case 26: return set(&d->bias_type, from, bytes);
    default: return complain(UNSUPPORTED, "an attribute of a product that the stand-in does not know");
    }
}
int cublasLtMatrixLayoutCreate(Layout **l, int type, u64 rows, u64 cols, int64_t ld) {
    *l = new Layout;
    (*l)->type = type;
    (*l)->rows = rows;
    (*l)->cols = cols;
    (*l)->ld = ld;
    return OK;
}
int cublasLtMatrixLayoutDestroy(Layout *l) {
    delete l;
    return OK;
}
int cublasLtMatrixLayoutSetAttribute(Layout *l, int attribute, const void *from, size_t bytes) {
    switch (attribute) {
    case 0: return set(&l->type, from, bytes);
    case 1: return set(&l->order, from, bytes);
    case 2: return set(&l->rows, from, bytes);
    case 3: return set(&l->cols, from, bytes);
    case 4: return set(&l->ld, from, bytes);
    case 5: return set(&l->batch, from, bytes);
    case 6: return set(&l->stride, from, bytes);
    default: return complain(UNSUPPORTED, "an attribute of a matrix that the stand-in does not know");
    }
}
int cublasLtMatmulPreferenceCreate(size_t **p) {
    *p = new size_t(0);
    return OK;
}
int cublasLtMatmulPreferenceDestroy(size_t *p) {
    delete p;
    return OK;
}
int cublasLtMatmulPreferenceSetAttribute(size_t *p, int attribute, const void *from, size_t bytes) {
    return attribute == 1 ? set(p, from, bytes) : OK;
}
int cublasLtMatmulAlgoGetHeuristic(void *, const Description *d, const Layout *a, const Layout *b, const Layout *c, const Layout *o,
                                   const size_t *, int wanted, Heuristic *results, int *found) {
    *found = 0;
    if (int why = check(*d, *a, *b, *c, *o)) return why;
    for (int i = 0; i < wanted && i < 2; i++) {
        memset(&results[i], 0, sizeof results[i]);
        results[i].algorithm.data[0] = 0x5a5a0000u + (u64)i;
        results[i].waves = 1;
        ++*found;
    }
    return OK;
}
int cublasLtMatmul(void *, const Description *d, const void *alpha, const void *a, const Layout *la, const void *b, const Layout *lb,
                   const void *beta, const void *c, const Layout *lc, void *out, const Layout *lo, const Algorithm *algorithm,
                   void *workspace, size_t workspace_bytes, void *stream) {
    if (int why = check(*d, *la, *lb, *lc, *lo)) return why;
    if (d->pointers != 0) return complain(UNSUPPORTED, "scales on the device");
    if (algorithm && algorithm->data[0] >> 1 != 0x5a5a0000u >> 1) return complain(INVALID, "an algorithm that the heuristic did not give");
    if (workspace_bytes && standin_range(workspace, workspace_bytes, "cublasLtMatmul's workspace")) return INVALID;
    auto fits = [](const void *p, const Layout &l, const char *what) {
        if ((size_t)p % bytes_of(l.type)) return complain(INVALID, "a matrix that is not aligned to its elements") == OK;
        return standin_range(p, reach(l) * bytes_of(l.type), what) == OK;
    };
    double scales[2];
    for (int i = 0; i < 2; i++) {
        const void *s = i ? beta : alpha;
        scales[i] = d->scale == F64 ? *(const double *)s : *(const float *)s;
    }
    if (!fits(a, *la, "cublasLtMatmul's A") || !fits(b, *lb, "cublasLtMatmul's B") || !fits(out, *lo, "cublasLtMatmul's D")) return INVALID;
    if (scales[1] != 0 && !fits(c, *lc, "cublasLtMatmul's C")) return INVALID;
    if (d->epilogue != PLAIN && d->epilogue != RELU && d->epilogue != GELU) {
        bool aux = d->epilogue == GELU_AUX || d->epilogue == GELU_AUX_BIAS || d->epilogue == DGELU || d->epilogue == DGELU_BGRAD;
        bool bias = d->epilogue != GELU_AUX && d->epilogue != DGELU;
        if ((bias && !d->bias) || (aux && (!d->aux || (u64)d->aux_ld < lo->rows))) return complain(INVALID, "an epilogue without its buffers");
    }
    Product p = {*d, *la, *lb, *lc, *lo, (const char *)a, (const char *)b, (const char *)c, (char *)out, scales[0], scales[1]};
    Work work = [p] { return compute(p); };
    return standin_give(stream, "cublasLtMatmul", &work) ? FAILED : OK;
}
} // extern "C"

// The driver's entry points, as far as a program that plans its own memory needs them, and a few more. Each takes the lock,
// checks what it is given and answers by number; what is wrong is also said on stderr.
#include "streams.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <map>
#include <memory>
#include <set>
#include <sys/mman.h>
#include <unistd.h>

namespace standin {

std::string variable(const char *name, const char *otherwise) {
    const char *v = getenv((std::string("NNC_STANDIN_") + name).c_str());
    return v ? v : otherwise;
}

const Settings &settings() {
    static const Settings s = {
        strtoull(variable("SEED", "0").c_str(), nullptr, 10),
        variable("CHECK", "0") == "1",
        variable("EAGER", "0") == "1",
        variable("TRACE", "0") == "1",
        strtoull(variable("MEMORY", "8589934592").c_str(), nullptr, 10),
        atoi(variable("ARCH", "90").c_str()),
        variable("PLAY", ""),
    };
    return s;
}

std::recursive_mutex &lock() {
    static std::recursive_mutex m;
    return m;
}

namespace {

Result broken = SUCCESS;
bool started = false;
std::set<Module *> modules;
std::set<Kernel *> kernels;
std::set<Graph *> graphs, executables;
int context_of_device;
thread_local bool has_context = false;

std::string play_mode() { return settings().play; }

} // namespace

Result fault(Result code, const std::string &what) {
    if (broken == SUCCESS) {
        broken = code;
        fprintf(stderr, "stand-in device: %s\n", what.c_str());
    }
    return broken;
}
Result faulted() { return broken; }

bool in_module(const void *p) {
    for (Module *m : modules)
        if ((char *)p >= m->from && (char *)p < m->to) return true;
    return false;
}

std::string line_of_code(const void *pc) {
    for (Module *m : modules) {
        if ((char *)pc < m->from || (char *)pc >= m->to) continue;
        char path[] = "/tmp/standin-XXXXXX";
        int file = mkstemp(path);
        if (file < 0) return "";
        bool whole = write(file, m->image.data(), m->image.size()) == (ssize_t)m->image.size();
        close(file);
        // The code is before the address where it goes on.
        char command[128], text[512];
        snprintf(command, sizeof command, "addr2line -i -e %s 0x%zx 2>/dev/null", path, (size_t)((char *)pc - m->from) - 1);
        std::string line;
        if (FILE *out = whole ? popen(command, "r") : nullptr) {
            while (line.empty() && fgets(text, sizeof text, out)) {
                std::string at = text;
                size_t colon = at.rfind(':');
                if (at.find("device.h") == std::string::npos && colon != std::string::npos && isdigit((unsigned char)at[colon + 1]))
                    line = std::to_string(atoi(at.c_str() + colon + 1));
            }
            pclose(out);
        }
        unlink(path);
        return line;
    }
    return "";
}

} // namespace standin

using namespace standin;

namespace {

struct Guard {
    std::lock_guard<std::recursive_mutex> held{lock()};
};

// What most calls begin with: the lock, a device that was started and is not broken.
#define ENTER                                                  \
    Guard guard;                                               \
    if (!started) return NOT_INITIALIZED;                      \
    if (Result f = faulted()) return f;
#define ENTER_CONTEXT                                          \
    ENTER                                                      \
    if (!has_context) return INVALID_CONTEXT;
#define STREAM(s, handle)                                      \
    bool s##_known;                                            \
    Stream *s = stream_of(handle, &s##_known);                 \
    if (!s##_known) return INVALID_HANDLE;
// Calls that wait for the device, or that a capture forbids.
#define NOT_IN_CAPTURE                                         \
    if (Result f = forbidden_now()) return f;

int complain(Result code, const std::string &what) {
    fprintf(stderr, "stand-in device: %s\n", what.c_str());
    return code;
}

bool pinned(const void *p, size_t bytes) {
    Region *r = region_of(p);
    return r && r->host && (char *)p + bytes <= r->start + r->bytes;
}

Work copy_of(void *to, const void *from, size_t bytes) {
    return [=] {
        memmove(to, from, bytes);
        wrote(to, bytes);
        return SUCCESS;
    };
}

template <class T> Work fill_of(void *to, T value, size_t count) {
    return [=] {
        std::fill_n((T *)to, count, value);
        wrote(to, count * sizeof(T));
        return SUCCESS;
    };
}

int copy_now(void *to, const void *from, size_t bytes) {
    NOT_IN_CAPTURE
    if (Result r = drain_all(false)) return r;
    open_memory();
    Result r = copy_of(to, from, bytes)();
    close_memory();
    return r;
}

} // namespace

extern "C" {

int standin_give(void *handle, const char *what, const Work *work) {
    ENTER_CONTEXT
    STREAM(s, handle)
    return give(s, what, *work);
}
int standin_range(const void *p, size_t bytes, const char *what) { return check_range(p, bytes, what); }
void standin_wrote(const void *p, size_t bytes) { wrote(p, bytes); }

// --- start, devices, contexts

int cuInit(unsigned flags) {
    Guard guard;
    if (flags) return INVALID_VALUE;
    if (play_mode() == "no-device") return NO_DEVICE;
    if (play_mode() == "broken") return SYSTEM_DRIVER_MISMATCH;
    started = true;
    return SUCCESS;
}
int cuDriverGetVersion(int *version) {
    *version = play_mode() == "old-driver" ? 11040 : 13000;
    return SUCCESS;
}
int cuDeviceGetCount(int *count) {
    ENTER
    *count = play_mode() == "empty" ? 0 : 1;
    return SUCCESS;
}
int cuDeviceGet(int *device, int ordinal) {
    ENTER
    if (ordinal != 0 || play_mode() == "empty") return INVALID_DEVICE;
    *device = 0;
    return SUCCESS;
}
int cuDeviceGetName(char *name, int length, int device) {
    ENTER
    if (device) return INVALID_DEVICE;
    snprintf(name, (size_t)length, "CPU stand-in");
    return SUCCESS;
}
int cuDeviceGetUuid(void *uuid, int) {
    memset(uuid, 0x5a, 16);
    return SUCCESS;
}
int cuDeviceGetUuid_v2(void *uuid, int d) { return cuDeviceGetUuid(uuid, d); }
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    ENTER
    if (device) return INVALID_DEVICE;
    *bytes = settings().memory;
    return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER
    if (device) return INVALID_DEVICE;
    static const std::map<int, int> known = {
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535}, {8, 49152}, {9, 65536}, {10, 32},
        {12, 65536}, {13, 1980000}, {16, 132}, {17, 0}, {18, 0}, {19, 1}, {20, 0}, {31, 1}, {32, 1}, {33, 1}, {34, 0}, {36, 2619000},
        {37, 5120}, {38, 52428800}, {39, 2048}, {40, 3}, {41, 1}, {50, 0}, {78, 1}, {81, 233472}, {82, 65536}, {83, 1}, {84, 0},
        {87, 2}, {88, 0}, {89, 0}, {90, 1}, {91, 1}, {95, 1}, {97, 232448}, {102, 0}, {106, 32}, {111, 1024}, {115, 0},
    };
    if (attribute == 75) *value = settings().arch / 10;
    else if (attribute == 76) *value = settings().arch % 10;
    else if (known.count(attribute)) *value = known.at(attribute);
    else *value = 0;
    return SUCCESS;
}
int cuDeviceComputeCapability(int *major, int *minor, int) {
    *major = settings().arch / 10;
    *minor = settings().arch % 10;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    ENTER
    if (device) return INVALID_DEVICE;
    *context = &context_of_device;
    return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return SUCCESS; }
int cuCtxSetCurrent(void *context) {
    ENTER
    if (context && context != &context_of_device) return INVALID_CONTEXT;
    has_context = context != nullptr;
    return SUCCESS;
}
int cuCtxGetCurrent(void **context) {
    ENTER
    *context = has_context ? &context_of_device : nullptr;
    return SUCCESS;
}
int cuCtxPushCurrent_v2(void *context) { return cuCtxSetCurrent(context); }
int cuCtxPopCurrent_v2(void **context) {
    ENTER
    if (context) *context = has_context ? &context_of_device : nullptr;
    has_context = false;
    return SUCCESS;
}
int cuCtxGetDevice(int *device) {
    ENTER_CONTEXT
    *device = 0;
    return SUCCESS;
}
int cuCtxSetFlags(unsigned) { return SUCCESS; }
int cuCtxSetLimit(int, size_t) { return SUCCESS; }
int cuCtxSynchronize() {
    ENTER_CONTEXT
    NOT_IN_CAPTURE
    return drain_all(true);
}

// --- memory

int cuMemGetInfo_v2(size_t *free, size_t *total) {
    ENTER_CONTEXT
    *total = settings().memory;
    *free = *total - used();
    return SUCCESS;
}
int cuMemAlloc_v2(void **p, size_t bytes) {
    ENTER_CONTEXT
    NOT_IN_CAPTURE
    return allocate(bytes, false, p);
}
int cuMemFree_v2(void *p) {
    ENTER_CONTEXT
    NOT_IN_CAPTURE
    if (!p) return SUCCESS;
    if (Result r = drain_all(true)) return r;
    return release(p, false);
}
int cuMemHostAlloc(void **p, size_t bytes, unsigned) {
    ENTER_CONTEXT
    NOT_IN_CAPTURE
    return allocate(bytes, true, p);
}
int cuMemAllocHost_v2(void **p, size_t bytes) { return cuMemHostAlloc(p, bytes, 0); }
int cuMemFreeHost(void *p) {
    ENTER_CONTEXT
    NOT_IN_CAPTURE
    if (Result r = drain_all(true)) return r;
    return release(p, true);
}
int cuMemHostGetDevicePointer_v2(void **device, void *host, unsigned) {
    ENTER_CONTEXT
    if (!pinned(host, 1)) return INVALID_VALUE;
    *device = host;
    return SUCCESS;
}
int cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) {
    ENTER_CONTEXT
    if (Result r = check_range(to, bytes, "cuMemcpyHtoD")) return r;
    return copy_now(to, from, bytes);
}
int cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) {
    ENTER_CONTEXT
    if (Result r = check_range(from, bytes, "cuMemcpyDtoH")) return r;
    return copy_now(to, from, bytes);
}
int cuMemcpyDtoD_v2(void *to, const void *from, size_t bytes) {
    ENTER_CONTEXT
    if (Result r = check_range(from, bytes, "cuMemcpyDtoD")) return r;
    if (Result r = check_range(to, bytes, "cuMemcpyDtoD")) return r;
    return copy_now(to, from, bytes);
}
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    if (Result r = check_range(to, bytes, "cuMemcpyHtoDAsync")) return r;
    if (bytes == 0) return SUCCESS;
    // Memory that is not pinned is read before the call returns, unless a graph reads it at each launch.
    if (pinned(from, bytes) || s->capture) return give(s, "cuMemcpyHtoDAsync", copy_of(to, from, bytes));
    auto kept = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);
    return give(s, "cuMemcpyHtoDAsync", [=] { return copy_of(to, kept->data(), bytes)(); });
}
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    if (Result r = check_range(from, bytes, "cuMemcpyDtoHAsync")) return r;
    if (bytes == 0) return SUCCESS;
    Result r = give(s, "cuMemcpyDtoHAsync", copy_of(to, from, bytes));
    // Into memory that is not pinned the call itself waits.
    if (r == SUCCESS && !s->capture && !pinned(to, bytes)) r = drain(s);
    return r;
}
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    if (Result r = check_range(from, bytes, "cuMemcpyDtoDAsync")) return r;
    if (Result r = check_range(to, bytes, "cuMemcpyDtoDAsync")) return r;
    if (bytes == 0) return SUCCESS;
    if ((char *)from < (char *)to + bytes && (char *)to < (char *)from + bytes && from != to)
        return complain(INVALID_VALUE, "cuMemcpyDtoDAsync between ranges that overlap");
    return give(s, "cuMemcpyDtoDAsync", copy_of(to, from, bytes));
}
#define FILL(bits, T)                                                                              \
    int cuMemsetD##bits##_v2(void *to, T value, size_t n) {                                        \
        ENTER_CONTEXT                                                                              \
        NOT_IN_CAPTURE                                                                             \
        STREAM(s, nullptr)                                                                         \
        if (Result r = check_range(to, n * sizeof(T), "cuMemsetD" #bits)) return r;                \
        return give(s, "cuMemsetD" #bits, fill_of<T>(to, value, n));                               \
    }                                                                                              \
    int cuMemsetD##bits##Async(void *to, T value, size_t n, void *stream) {                        \
        ENTER_CONTEXT                                                                              \
        STREAM(s, stream)                                                                          \
        if (Result r = check_range(to, n * sizeof(T), "cuMemsetD" #bits "Async")) return r;        \
        if (n == 0) return SUCCESS;                                                                \
        return give(s, "cuMemsetD" #bits "Async", fill_of<T>(to, value, n));                       \
    }
FILL(8, unsigned char)
FILL(16, unsigned short)
FILL(32, unsigned)

// --- streams and events

int cuStreamCreate(void **stream, unsigned flags) {
    ENTER_CONTEXT
    *stream = new_stream(flags & 1);
    return SUCCESS;
}
int cuStreamCreateWithPriority(void **stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
int cuStreamDestroy_v2(void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    if (!stream) return INVALID_HANDLE;
    return drop_stream(s);
}
int cuStreamSynchronize(void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    NOT_IN_CAPTURE
    return (size_t)stream <= 2 ? drain_all(false) : drain(s);
}
int cuStreamQuery(void *stream) {
    // Asking often must come to an end: it does what is left and says so.
    return cuStreamSynchronize(stream);
}
int cuStreamWaitEvent(void *stream, void *event, unsigned) {
    ENTER_CONTEXT
    STREAM(s, stream)
    if (!is_event((Event *)event)) return INVALID_HANDLE;
    return wait_for(s, (Event *)event);
}
int cuLaunchHostFunc(void *stream, void (*f)(void *), void *data) {
    ENTER_CONTEXT
    STREAM(s, stream)
    return give(s, "cuLaunchHostFunc", [=] {
        f(data);
        return SUCCESS;
    });
}
int cuEventCreate(void **event, unsigned flags) {
    ENTER_CONTEXT
    *event = new_event(!(flags & 2));
    return SUCCESS;
}
int cuEventDestroy_v2(void *event) {
    ENTER_CONTEXT
    if (!is_event((Event *)event)) return INVALID_HANDLE;
    drop_event((Event *)event);
    return SUCCESS;
}
int cuEventRecord(void *event, void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    if (!is_event((Event *)event)) return INVALID_HANDLE;
    return record((Event *)event, s);
}
int cuEventSynchronize(void *event) {
    ENTER_CONTEXT
    NOT_IN_CAPTURE
    Event *e = (Event *)event;
    if (!is_event(e)) return INVALID_HANDLE;
    return e->stream ? drain(e->stream, e->at) : SUCCESS;
}
int cuEventQuery(void *event) { return cuEventSynchronize(event); }
int cuEventElapsedTime(float *ms, void *from, void *to) {
    ENTER_CONTEXT
    Event *a = (Event *)from, *b = (Event *)to;
    if (!is_event(a) || !is_event(b) || !a->recorded || !b->recorded || !a->timed || !b->timed) return INVALID_HANDLE;
    if ((a->stream && a->stream->done < a->at) || (b->stream && b->stream->done < b->at)) return NOT_READY;
    *ms = (float)((b->time - a->time) * 1e3);
    return SUCCESS;
}
int cuEventElapsedTime_v2(float *ms, void *from, void *to) { return cuEventElapsedTime(ms, from, to); }

// --- graphs

int cuStreamBeginCapture_v2(void *stream, int mode) {
    ENTER_CONTEXT
    STREAM(s, stream)
    return begin_capture(s, mode);
}
int cuStreamEndCapture(void *stream, void **graph) {
    ENTER_CONTEXT
    STREAM(s, stream)
    Graph *g;
    Result r = end_capture(s, &g);
    *graph = g;
    if (g) graphs.insert(g);
    return r;
}
int cuStreamIsCapturing(void *stream, int *status) {
    ENTER_CONTEXT
    STREAM(s, stream)
    *status = !s->capture ? 0 : s->capture->invalid ? 2 : 1;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
    ENTER_CONTEXT
    if (!graphs.count((Graph *)graph)) return INVALID_VALUE;
    Graph *copy = new Graph(*(Graph *)graph);
    executables.insert(copy);
    *executable = copy;
    return SUCCESS;
}
int cuGraphGetNodes(void *graph, void **nodes, size_t *count) {
    ENTER_CONTEXT
    if (!graphs.count((Graph *)graph)) return INVALID_VALUE;
    if (nodes) return NOT_SUPPORTED;
    *count = ((Graph *)graph)->nodes.size();
    return SUCCESS;
}
int cuGraphUpload(void *executable, void *) {
    ENTER_CONTEXT
    return executables.count((Graph *)executable) ? SUCCESS : INVALID_VALUE;
}
int cuGraphLaunch(void *executable, void *stream) {
    ENTER_CONTEXT
    STREAM(s, stream)
    Graph *g = (Graph *)executable;
    if (!executables.count(g)) return INVALID_VALUE;
    return give(s, "cuGraphLaunch", [g] { return executables.count(g) ? play(*g) : fault(INVALID_VALUE, "a graph was destroyed before it ran"); });
}
int cuGraphDestroy(void *graph) {
    ENTER_CONTEXT
    if (!graphs.erase((Graph *)graph)) return INVALID_VALUE;
    delete (Graph *)graph;
    return SUCCESS;
}
int cuGraphExecDestroy(void *executable) {
    ENTER_CONTEXT
    if (!executables.count((Graph *)executable)) return INVALID_VALUE;
    drain_all(true);
    executables.erase((Graph *)executable);
    delete (Graph *)executable;
    return SUCCESS;
}

// --- modules and launches

int cuModuleLoadData(void **module, const void *image) {
    ENTER_CONTEXT
    if (play_mode() == "old-driver") return NO_BINARY_FOR_GPU;
    if (memcmp(image, "nnc-standin-cpu\n", 16))
        return complain(INVALID_IMAGE, "cuModuleLoadData: this was not compiled by the stand-in's compiler");
    u64 head[2];
    memcpy(head, (const char *)image + 16, sizeof head);
    // What is for no device in particular is for all that are not older.
    bool general = head[1] >> 32, fits = general ? (int)head[1] <= settings().arch : (int)head[1] == settings().arch;
    if (!fits) return complain(NO_BINARY_FOR_GPU, "cuModuleLoadData: compiled for another architecture");
    int file = memfd_create("kernels", MFD_CLOEXEC);
    const char *from = (const char *)image + 32;
    for (u64 at = 0; at < head[0];) {
        ssize_t n = write(file, from + at, head[0] - at);
        if (n <= 0) return complain(OUT_OF_MEMORY, "cuModuleLoadData: no memory for the image");
        at += (u64)n;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    std::unique_ptr<Module> m(new Module);
    m->image.assign(from, head[0]);
    // The file stays open as long as the module: the loader takes one name for one library.
    m->file = file;
    m->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!m->handle) return complain(INVALID_IMAGE, std::string("cuModuleLoadData: ") + dlerror());
    auto symbol = [&](const std::string &name) { return dlsym(m->handle, name.c_str()); };
    auto list = (const char *(*)())symbol("standin_kernels");
    if (!list) return complain(INVALID_IMAGE, "cuModuleLoadData: no list of kernels");
    struct link_map *map;
    dlinfo(m->handle, RTLD_DI_LINKMAP, &map);
    m->from = m->to = (char *)map->l_addr;
    dl_iterate_phdr(
        [](dl_phdr_info *info, size_t, void *data) {
            Module *m = (Module *)data;
            if ((char *)info->dlpi_addr != m->from) return 0;
            for (int i = 0; i < info->dlpi_phnum; i++)
                if (info->dlpi_phdr[i].p_type == PT_LOAD)
                    m->to = std::max(m->to, m->from + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz);
            return 1;
        },
        m.get());
    std::string names = list();
    for (size_t at = 0; at < names.size();) {
        size_t end = names.find('\n', at);
        std::unique_ptr<Kernel> k(new Kernel);
        k->name = names.substr(at, end - at);
        at = end + 1;
        k->module = m.get();
        k->call = (void (*)(void **))symbol("standin_call_" + k->name);
        k->sizes = ((const u32 *(*)())symbol("standin_sizes_" + k->name))();
        k->most_threads = ((int (*)())symbol("standin_bound_" + k->name))();
        char *to;
        ((void (*)(char **, char **))symbol("standin_shared_" + k->name))(&k->shared, &to);
        k->shared_bytes = k->shared ? (size_t)(to - k->shared) : 0;
        if (k->shared_bytes > 48 * 1024)
            return complain(INVALID_IMAGE, "kernel " + k->name + " has " + std::to_string(k->shared_bytes) + " bytes of shared memory, more than 49152");
        m->kernels.push_back(k.release());
    }
    for (Kernel *k : m->kernels) kernels.insert(k);
    modules.insert(m.get());
    *module = m.release();
    return SUCCESS;
}
int cuModuleLoadDataEx(void **module, const void *image, unsigned, void *, void **) { return cuModuleLoadData(module, image); }
int cuModuleUnload(void *module) {
    ENTER_CONTEXT
    Module *m = (Module *)module;
    if (!modules.count(m)) return INVALID_HANDLE;
    Result r = drain_all(true);
    modules.erase(m);
    for (Kernel *k : m->kernels) {
        kernels.erase(k);
        delete k;
    }
    dlclose(m->handle);
    close(m->file);
    delete m;
    return r;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    ENTER_CONTEXT
    if (!modules.count((Module *)module)) return INVALID_HANDLE;
    for (Kernel *k : ((Module *)module)->kernels)
        if (k->name == name) {
            *function = k;
            return SUCCESS;
        }
    return NOT_FOUND;
}
int cuFuncGetAttribute(int *value, int attribute, void *function) {
    ENTER_CONTEXT
    Kernel *k = (Kernel *)function;
    if (!kernels.count(k)) return INVALID_HANDLE;
    switch (attribute) {
    case 0: *value = k->most_threads; break;
    case 1: *value = (int)k->shared_bytes; break;
    case 4: *value = 32; break;
    case 5: case 6: *value = settings().arch; break;
    case 8: *value = k->most_dynamic; break;
    default: *value = 0;
    }
    return SUCCESS;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
    ENTER_CONTEXT
    Kernel *k = (Kernel *)function;
    if (!kernels.count(k)) return INVALID_HANDLE;
    if (attribute == 8) {
        if (value < 0 || value + (int)k->shared_bytes > 232448) return INVALID_VALUE;
        k->most_dynamic = value;
    }
    return SUCCESS;
}
int cuFuncSetCacheConfig(void *, int) { return SUCCESS; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t) {
    ENTER_CONTEXT
    if (!kernels.count((Kernel *)function) || threads < 1 || threads > 1024) return INVALID_VALUE;
    *blocks = std::min(32, 2048 / ((threads + 31) / 32 * 32));
    return SUCCESS;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned dynamic, void *stream, void **arguments, void **extra) {
    ENTER_CONTEXT
    STREAM(s, stream)
    Kernel *k = (Kernel *)function;
    if (!kernels.count(k)) return INVALID_HANDLE;
    if (extra) return complain(NOT_SUPPORTED, "cuLaunchKernel: arguments as one block");
    auto refuse = [&](Result code, const std::string &why) { return complain(code, "launch of " + k->name + ": " + why); };
    unsigned long long threads = (unsigned long long)bx * by * bz;
    if (!gx || !gy || !gz || !threads) return refuse(INVALID_VALUE, "a grid or a block of nothing");
    if (gx > 2147483647u || gy > 65535 || gz > 65535) return refuse(INVALID_VALUE, "too many blocks");
    if (bx > 1024 || by > 1024 || bz > 64 || threads > 1024) return refuse(INVALID_VALUE, "too many threads in a block");
    if (threads > (unsigned long long)k->most_threads)
        return refuse(LAUNCH_OUT_OF_RESOURCES, std::to_string(threads) + " threads where __launch_bounds__ promised at most " + std::to_string(k->most_threads));
    if ((int)dynamic > k->most_dynamic) return refuse(INVALID_VALUE, "too much dynamic shared memory");
    if (k->sizes[0] && !arguments) return refuse(INVALID_VALUE, "no arguments");
    auto launch = std::make_shared<Launch>();
    *launch = {k, {gx, gy, gz}, {bx, by, bz}, dynamic, {}, {}};
    for (u32 i = 0; i < k->sizes[0]; i++) {
        while (launch->arguments.size() % 16) launch->arguments.push_back(0);
        launch->offsets.push_back((u32)launch->arguments.size());
        const char *a = (const char *)arguments[i];
        launch->arguments.insert(launch->arguments.end(), a, a + k->sizes[1 + i]);
    }
    return give(s, k->name.c_str(), [launch] { return run(*launch); });
}

// --- errors

int cuGetErrorName(int error, const char **text) {
    static const std::map<int, const char *> names = {
        {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {3, "CUDA_ERROR_NOT_INITIALIZED"},
        {100, "CUDA_ERROR_NO_DEVICE"}, {101, "CUDA_ERROR_INVALID_DEVICE"}, {200, "CUDA_ERROR_INVALID_IMAGE"},
        {201, "CUDA_ERROR_INVALID_CONTEXT"}, {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"}, {400, "CUDA_ERROR_INVALID_HANDLE"},
        {500, "CUDA_ERROR_NOT_FOUND"}, {600, "CUDA_ERROR_NOT_READY"}, {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}, {710, "CUDA_ERROR_ASSERT"}, {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION"},
        {716, "CUDA_ERROR_MISALIGNED_ADDRESS"}, {719, "CUDA_ERROR_LAUNCH_FAILED"}, {801, "CUDA_ERROR_NOT_SUPPORTED"},
        {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}, {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}, {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE"},
        {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"}, {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"},
    };
    auto it = names.find(error);
    *text = it == names.end() ? nullptr : it->second;
    return it == names.end() ? INVALID_VALUE : SUCCESS;
}
int cuGetErrorString(int error, const char **text) {
    static const std::map<int, const char *> texts = {
        {0, "no error"}, {1, "invalid argument"}, {2, "out of memory"}, {3, "initialization error"},
        {100, "no CUDA-capable device is detected"}, {101, "invalid device ordinal"}, {200, "device kernel image is invalid"},
        {201, "invalid device context"}, {209, "no kernel image is available for execution on the device"},
        {400, "invalid resource handle"}, {500, "named symbol not found"}, {600, "device not ready"},
        {700, "an illegal memory access was encountered"}, {701, "too many resources requested for launch"},
        {710, "device-side assert triggered"}, {715, "an illegal instruction was encountered"}, {716, "misaligned address"},
        {719, "unspecified launch failure"}, {801, "operation not supported"},
        {803, "system has unsupported display driver / cuda driver combination"},
        {900, "operation not permitted when stream is capturing"},
        {901, "operation failed due to a previous error during capture"}, {902, "dependency created on uncaptured work"},
        {903, "capture was not ended in the same stream as it began"}, {904, "capture has unjoined work"},
    };
    auto it = texts.find(error);
    *text = it == texts.end() ? nullptr : it->second;
    return it == texts.end() ? INVALID_VALUE : SUCCESS;
}
} // extern "C"

// What the parts of the stand-in device know of each other. One lock guards everything: device work runs on the thread that
// waits for it, one block at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace standin {

using u32 = uint32_t;
using u64 = uint64_t;

// Answers of the driver, by their numbers.
enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    ASSERT = 710,
    ILLEGAL_INSTRUCTION = 715,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    SYSTEM_DRIVER_MISMATCH = 803,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_MERGE = 902,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
};

// The settings, from the environment: NNC_STANDIN_...
struct Settings {
    u64 seed;       // SEED: 0 keeps threads and blocks in order, anything else shuffles them
    bool check;     // CHECK=1: kernels are compiled with a call at each access of memory (races, bounds, what was never written)
    bool eager;     // EAGER=1: work is done when it is given, not as late as allowed
    bool trace;     // TRACE=1: a line on stderr for each call of the driver that gives device work
    u64 memory;     // MEMORY: bytes of device memory
    int arch;       // ARCH: 90 unless told
    std::string play; // PLAY: a machine that does not work: no-device, broken, old-driver, empty, no-compiler, fail-N at the Nth kernel
};
const Settings &settings();
std::string variable(const char *name, const char *otherwise);

std::recursive_mutex &lock();
u64 random();

// Faults: the first one stays, as on a device, and every later call answers with it.
Result fault(Result code, const std::string &what);
Result faulted();

// A loaded kernel.
struct Module;
struct Kernel {
    std::string name;
    Module *module;
    void (*call)(void **);
    const u32 *sizes; // count, then bytes of each argument
    char *shared;
    size_t shared_bytes;
    int most_threads;
    int most_dynamic = 48 * 1024;
};
struct Module {
    void *handle = nullptr;
    int file = -1;
    char *from = nullptr, *to = nullptr; // where its image lies
    std::string image;
    std::vector<Kernel *> kernels;
};
// Whether an address is of a kernel's code or constants.
bool in_module(const void *p);
// The line of source that code at an address is of; nothing where that cannot be told.
std::string line_of_code(const void *pc);

struct Launch {
    Kernel *kernel;
    u32 grid[3], block[3];
    u32 dynamic;
    std::vector<char> arguments;
    std::vector<u32> offsets;
};
Result run(const Launch &launch);
bool running();

// Memory.
struct Region {
    char *start;
    size_t bytes;
    bool host;
    char *map;
    size_t map_bytes;
    struct Cell *cells; // a shadow cell a byte, when checking
};
Region *region_of(const void *p);
Region *region_around(const void *p, size_t *distance, bool *behind);
Result allocate(size_t bytes, bool host, void **out);
Result release(void *p, bool host);
size_t used();
// What was written outside buffers since the last time, in words; nothing otherwise.
std::string hurt_zone();
void open_memory();
void close_memory();
// Whether a copy or fill stays inside one region.
Result check_range(const void *p, size_t bytes, const char *what);
void wrote(const void *p, size_t bytes);

// Checks of single accesses (shadow.cpp).
void check_read(const char *p, int bytes);
void check_write(char *p, int bytes);
void shadow_launch();
void shadow_block(char *shared, size_t shared_bytes, char *dynamic, size_t dynamic_bytes);

// Which thread runs, for the checks.
struct Now {
    u32 unit;        // number of the block among all blocks ever run
    u32 first_unit;  // of the launch's first block
    int thread;
    u32 serial;      // how often threads of this block met
    u32 block_met;   // at which serial all did last
    u32 warp_met;    // at which this thread's warp did last
    bool acquired;   // this thread did an atomic operation
};
extern Now now;
[[noreturn]] void stop(Result code, const std::string &what, const void *pc = nullptr);
[[noreturn]] void stop_thread(Result code, const std::string &what, const void *pc = nullptr);
// Whether an address is a thread's own: of its stack, or where it runs.
bool is_own(const void *p);

// Work for the device: what a stream or a graph holds.
using Work = std::function<Result()>;

} // namespace standin

// For the libraries that stand beside the driver: work in the order of a stream, recorded where the stream is being captured.
extern "C" int standin_give(void *stream, const char *what, const standin::Work *work);
extern "C" int standin_range(const void *p, size_t bytes, const char *what);
extern "C" void standin_wrote(const void *p, size_t bytes);

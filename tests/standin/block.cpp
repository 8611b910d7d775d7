// Runs kernels: one block at a time, one fiber a thread. Threads that meet nobody share one stack, one after the other; a thread
// that waits keeps its stack. Threads and blocks run in an order drawn from the seed. What a device leaves undefined or hangs
// on is a fault here: threads that meet at different places, lanes that are named and absent, barriers that some never reach.
#include "core.h"
#include "fibers.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>

namespace standin {

struct Vector3 {
    u32 x, y, z;
};
extern "C" struct standin_place {
    Vector3 thread, block, threads, blocks;
    u32 lane;
    char *dynamic;
} standin_now;
standin_place standin_now;

// Unit 1 is the host.
Now now = {1, 1, 0, 0, 0, 0, false};

namespace {

constexpr size_t STACK = 128 << 10;
constexpr int MOST = 1024;
constexpr u32 DYNAMIC = 228 << 10;

enum State { FRESH, RUNNING, READY, AT_BARRIER, AT_WARP, DONE };
const char *const KINDS[] = {"__syncwarp", "shuffle", "vote", "__match_any_sync", "__reduce_sync", "mma", "ldmatrix"};

struct Thread {
    Vector3 index;
    State state;
    int stack;
    int line, kind, value;
    u32 mask;
    int from;
    char in[64];
    int in_bytes;
    void *out;
    int out_bytes;
    u32 warp_met;
    bool acquired;
};

struct Later {
    u32 to;
    const void *from;
    int bytes, present;
};

Thread threads[MOST];
int count, alive, current;
int order[MOST], ready[MOST];
int next_fresh, ready_count, at_barrier, exited;
char *stacks = nullptr;
Context contexts[MOST + 1], scheduler;
int free_stacks[MOST + 1], free_count, stack_now;
const Launch *launch = nullptr;
void **arguments;
bool stopped;
Result stop_code;
std::string stop_text;
const void *stop_pc;
u64 state = 0x9e3779b97f4a7c15ull;
alignas(128) char dynamic_memory[DYNAMIC];
std::vector<std::vector<Later>> open_copies[MOST];
bool copies_open = false;

void settle() {
    now.thread = current;
    now.warp_met = threads[current].warp_met;
    now.acquired = threads[current].acquired;
    standin_now.thread = threads[current].index;
    standin_now.lane = current & 31;
}

// Leaves this thread and lets the scheduler choose; comes back when it is chosen.
void wait() {
    int mine = current;
    threads[mine].stack = stack_now;
    threads[mine].acquired = now.acquired;
    change(contexts[stack_now], scheduler);
}

void ready_now(int t) {
    threads[t].state = READY;
    ready[ready_count++] = t;
}

void body() {
    for (;;) {
        current = order[next_fresh++];
        threads[current].state = RUNNING;
        settle();
        launch->kernel->call(arguments);
        threads[current].state = DONE;
        alive--;
        exited++;
        if (next_fresh == count || (settings().seed && ready_count > 0)) {
            free_stacks[free_count++] = stack_now;
            change(contexts[stack_now], scheduler);
        }
    }
}

std::string name_of(int t) {
    char text[160];
    const Vector3 &i = threads[t].index, &b = standin_now.block;
    snprintf(text, sizeof text, "thread (%u,%u,%u) of block (%u,%u,%u)", i.x, i.y, i.z, b.x, b.y, b.z);
    return text;
}

std::string hex(u32 mask) {
    char text[16];
    snprintf(text, sizeof text, "0x%08x", mask);
    return text;
}

// What a thread that does not go on does.
std::string doing(int t) {
    const Thread &h = threads[t];
    std::string at = " at line " + std::to_string(h.line);
    if (h.state == AT_BARRIER) return name_of(t) + " waits at __syncthreads" + at;
    if (h.state == AT_WARP) return name_of(t) + " waits at " + KINDS[h.kind] + at + " with mask " + hex(h.mask);
    return name_of(t) + " has returned";
}

// Where a barrier can be left: everybody arrived, at one place.
void try_barrier() {
    if (at_barrier == 0 || at_barrier < alive) return;
    int first = -1, counted = 0, all = 1, any = 0;
    for (int t = 0; t < count; t++) {
        if (threads[t].state != AT_BARRIER) continue;
        if (first < 0) first = t;
        if (threads[t].line != threads[first].line || threads[t].kind != threads[first].kind)
            stop(LAUNCH_FAILED, "divergent barrier: " + doing(first) + ", " + doing(t));
        counted += threads[t].value;
        all &= threads[t].value;
        any |= threads[t].value;
    }
    if (exited)
        for (int t = 0; t < count; t++)
            if (threads[t].state == DONE) stop(LAUNCH_FAILED, "divergent barrier: " + doing(first) + ", " + doing(t));
    now.serial++;
    now.block_met = now.serial;
    for (int t = 0; t < count; t++) {
        if (threads[t].state != AT_BARRIER) continue;
        int kind = threads[t].kind;
        threads[t].value = kind == 1 ? counted : kind == 2 ? all : any;
        threads[t].warp_met = now.serial;
        ready_now(t);
    }
    at_barrier = 0;
}

template <class T> T word(const Thread &t, int at) {
    T v;
    memcpy(&v, t.in + at * sizeof(T), sizeof v);
    return v;
}

float half_of(int kind, u32 bits) {
    if (kind == 0) { // bf16
        bits <<= 16;
        float f;
        memcpy(&f, &bits, 4);
        return f;
    }
    u32 sign = (bits & 0x8000) << 16, e = bits >> 10 & 31, m = bits & 1023, r;
    if (e == 0) {
        float f = (float)m * 5.9604644775390625e-8f;
        return sign ? -f : f;
    }
    r = e == 31 ? sign | 0x7f800000 | m << 13 : sign | (e + 112) << 23 | m << 13;
    float f;
    memcpy(&f, &r, 4);
    return f;
}

// D = A B + C of one warp, as `mma.sync` lays out its registers: A row by row, B column by column. `from` is the kind of
// element (0 bf16, 1 f16, 2 tf32) and, times 100, the length of the sum.
void multiply(Thread *w) {
    int kind = w[0].from % 100, k = w[0].from / 100;
    int pairs = kind == 2 ? 1 : 2;             // elements in a register
    int a_words = 16 * k / 32 / pairs, b_words = 8 * k / 32 / pairs;
    float a[16][16], b[16][8], c[16][8];
    auto element = [&](u32 v, int i) {
        float f;
        if (kind == 2) {
            v &= ~0x1fffu;
            memcpy(&f, &v, 4);
            return f;
        }
        return half_of(kind, v >> (16 * i) & 0xffff);
    };
    for (int lane = 0; lane < 32; lane++) {
        int g = lane >> 2, q = lane & 3;
        for (int r = 0; r < a_words; r++)
            for (int i = 0; i < pairs; i++)
                a[g + 8 * (r & 1)][q * pairs + i + 4 * pairs * (r >> 1)] = element(word<u32>(w[lane], r), i);
        for (int r = 0; r < b_words; r++)
            for (int i = 0; i < pairs; i++)
                b[q * pairs + i + 4 * pairs * r][g] = element(word<u32>(w[lane], a_words + r), i);
        for (int r = 0; r < 4; r++) c[g + 8 * (r >> 1)][2 * q + (r & 1)] = word<float>(w[lane], a_words + b_words + r);
    }
    for (int lane = 0; lane < 32; lane++) {
        int g = lane >> 2, q = lane & 3;
        for (int r = 0; r < 4; r++) {
            int row = g + 8 * (r >> 1), column = 2 * q + (r & 1);
            double sum = c[row][column];
            for (int i = 0; i < k; i++) sum += (double)a[row][i] * b[i][column];
            float f = (float)sum;
            memcpy((char *)w[lane].out + 4 * r, &f, 4);
        }
    }
}

char *from_shared(u32 address);

// What the lanes of a mask do together, once all of them have come.
void complete(Thread *w, u32 mask) {
    int first = __builtin_ctz(mask);
    u32 votes = 0;
    u64 total = 0;
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        Thread &t = w[lane];
        if (t.kind == 2 && word<u32>(t, 0)) votes |= 1u << lane;
        if (t.kind == 4) {
            u32 v = word<u32>(t, 0), s = (u32)total;
            int i = (int)v, j = (int)s;
            switch (lane == first ? -1 : t.from) {
            case -1: s = v; break;
            case 0: s += v; break;
            case 1: s = std::min(s, v); break;
            case 2: s = std::max(s, v); break;
            case 3: s = (u32)std::min(i, j); break;
            case 4: s = (u32)std::max(i, j); break;
            case 5: s &= v; break;
            case 6: s |= v; break;
            default: s ^= v;
            }
            total = s;
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        Thread &t = w[lane];
        if (t.kind == 1) {
            if (!(mask >> t.from & 1)) {
                current = (int)(w - threads) + lane;
                stop(LAUNCH_FAILED, "wrong mask: " + doing(current) + " and reads lane " + std::to_string(t.from) +
                                        ", which the mask does not name");
            }
            memcpy(t.out, w[t.from].in, t.out_bytes);
        } else if (t.kind == 2) {
            memcpy(t.out, &votes, 4);
        } else if (t.kind == 3) {
            u32 same = 0;
            for (int other = 0; other < 32; other++)
                if (mask >> other & 1 && !memcmp(t.in, w[other].in, t.in_bytes)) same |= 1u << other;
            memcpy(t.out, &same, 4);
        } else if (t.kind == 4) {
            u32 v = (u32)total;
            memcpy(t.out, &v, 4);
        } else if (t.kind == 6) {
            // Register r holds row lane / 4 of the r-th 8 by 8 matrix of 16-bit elements, whose rows lanes 8 r … point at.
            for (int r = 0; r < t.from % 10; r++) {
                unsigned short pair[2];
                for (int i = 0; i < 2; i++) {
                    int row = lane / 4, column = 2 * (lane % 4) + i;
                    if (t.from >= 10) std::swap(row, column);
                    const char *at = from_shared(word<u32>(w[8 * r + row], 0)) + 2 * column;
                    if (settings().check) check_read(at, 2);
                    memcpy(&pair[i], at, 2);
                }
                memcpy((char *)t.out + 4 * r, pair, 4);
            }
        }
    }
    if (w[first].kind == 5) multiply(w);
    now.serial++;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) w[lane].warp_met = now.serial;
}

// The block stands still: says why.
void stuck() {
    if (at_barrier) {
        int first = -1, other = -1;
        for (int t = 0; t < count; t++) {
            if (threads[t].state == AT_BARRIER && first < 0) first = t;
            if (threads[t].state != AT_BARRIER && (other < 0 || threads[t].state == AT_WARP)) other = t;
        }
        stop(LAUNCH_FAILED, "divergent barrier: " + doing(first) + ", " + doing(other));
    }
    for (int t = 0; t < count; t++) {
        if (threads[t].state != AT_WARP) continue;
        Thread *w = threads + (t & ~31);
        for (int lane = 0; lane < 32; lane++) {
            if (!(threads[t].mask >> lane & 1)) continue;
            int other = (t & ~31) + lane;
            if (other >= count)
                stop(LAUNCH_FAILED, "wrong mask: " + doing(t) + ", lane " + std::to_string(lane) + " does not exist");
            if (w[lane].state != AT_WARP || w[lane].mask != threads[t].mask)
                stop(LAUNCH_FAILED, "wrong mask: " + doing(t) + ", " + doing(other));
        }
    }
    stop(LAUNCH_FAILED, "no thread goes on");
}

void run_block() {
    ready_count = at_barrier = exited = next_fresh = 0;
    alive = count;
    now.serial = now.block_met = 1;
    now.unit++;
    char *shared = launch->kernel->shared;
    if (copies_open)
        for (int t = 0; t < count; t++) open_copies[t].clear();
    copies_open = false;
    memset(shared, 0xff, launch->kernel->shared_bytes);
    memset(dynamic_memory, 0xff, std::min<size_t>(launch->dynamic + 256, DYNAMIC));
    shadow_block(shared, launch->kernel->shared_bytes, dynamic_memory, launch->dynamic);
    for (int i = 0; i < count; i++) {
        order[i] = i;
        threads[i].state = FRESH;
        threads[i].warp_met = 1;
        threads[i].acquired = false;
    }
    if (settings().seed)
        for (int i = count - 1; i > 0; i--) std::swap(order[i], order[random() % (u64)(i + 1)]);
    free_count = 0;
    for (int i = MOST; i >= 0; i--) free_stacks[free_count++] = i;
    while (!stopped && alive > 0) {
        bool shuffled = settings().seed != 0;
        bool fresh = next_fresh < count && (ready_count == 0 || !shuffled || random() & 1);
        if (fresh) {
            stack_now = free_stacks[--free_count];
            // Ends that differ keep the stacks of one block out of each other's cache lines.
            size_t shift = (size_t)(stack_now % 61) * 320;
            prepare(contexts[stack_now], stacks + STACK * stack_now + 4096, STACK - 4096 - shift, body);
        } else if (ready_count > 0) {
            int pick = shuffled ? (int)(random() % (u64)ready_count) : ready_count - 1;
            current = ready[pick];
            ready[pick] = ready[--ready_count];
            threads[current].state = RUNNING;
            stack_now = threads[current].stack;
            settle();
        } else {
            try_barrier();
            if (!stopped && ready_count == 0) stuck();
            continue;
        }
        change(scheduler, contexts[stack_now]);
    }
}

Context here;
bool in_block = false;

const void *code_at(void *context) {
    (void)context;
#if defined(__x86_64__)
    return (const void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)((ucontext_t *)context)->uc_mcontext.pc;
#else
    return nullptr;
#endif
}

void catch_signal(int number, siginfo_t *info, void *context) {
    if (!in_block) {
        // Not ours: as if nobody had listened.
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    char text[64];
    const void *pc = code_at(context);
    if (number == SIGFPE) stop_thread(LAUNCH_FAILED, "integer division by zero", pc);
    if (number == SIGILL || number == SIGTRAP) stop_thread(ILLEGAL_INSTRUCTION, "illegal instruction", pc);
    char *at = (char *)info->si_addr;
    if (at >= stacks && at < stacks + STACK * (MOST + 1)) stop_thread(LAUNCH_FAILED, "the thread's stack is full");
    size_t distance = 0;
    bool behind = false;
    Region *near = region_around(at, &distance, &behind);
    snprintf(text, sizeof text, "access to %p, outside all memory", info->si_addr);
    std::string what = text;
    if (near && distance < 1 << 30)
        what += ": " + std::to_string(distance) + " bytes " + (behind ? "behind" : "before") + " a buffer of " +
                std::to_string(near->bytes);
    stop_thread(ILLEGAL_ADDRESS, what, pc);
}

const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

void listen(struct sigaction *before) {
    struct sigaction action = {};
    action.sa_sigaction = catch_signal;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (int i = 0; i < 5; i++) sigaction(SIGNALS[i], &action, before + i);
}

char *from_shared(u32 address) {
    if (address >= 0x100000) return dynamic_memory + (address - 0x100000);
    return launch->kernel->shared + (address - 0x1000);
}

} // namespace

// Ends the launch from inside a thread.
void stop(Result code, const std::string &what, const void *pc) {
    stop_pc = pc;
    stopped = true;
    stop_code = code;
    stop_text = what;
    // Whatever stack this is, a thread's or a signal's, nobody comes back to it.
    static Context nowhere;
    change(nowhere, here);
    __builtin_unreachable();
}

void stop_thread(Result code, const std::string &what, const void *pc) { stop(code, name_of(current) + ": " + what, pc); }
bool is_own(const void *p) {
    char *c = (char *)p;
    return (c >= stacks && c < stacks + STACK * (MOST + 1)) || (c >= (char *)&standin_now && c < (char *)(&standin_now + 1));
}
bool running() { return in_block; }

u64 random() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

namespace {
char *inner = nullptr;

// The scheduler has a stack of its own, so that a fault can leave it from anywhere.
void blocks_body() {
    const u32 *g = launch->grid;
    u64 total = (u64)g[0] * g[1] * g[2];
    // A shuffled order of all blocks without a list of them: steps of a number that shares no factor with their count.
    u64 step = 1, at = 0;
    if (settings().seed && total > 2) {
        auto gcd = [](u64 a, u64 b) {
            while (b) {
                u64 r = a % b;
                a = b;
                b = r;
            }
            return a;
        };
        at = random() % total;
        do step = 1 + random() % (total - 1);
        while (gcd(step, total) != 1);
    }
    for (u64 i = 0; i < total && !stopped; i++, at = (at + step) % total) {
        standin_now.block = {(u32)(at % g[0]), (u32)(at / g[0] % g[1]), (u32)(at / g[0] / g[1])};
        run_block();
    }
    static Context nowhere;
    change(nowhere, here);
}
} // namespace

Result run(const Launch &what) {
    if (!stacks) {
        size_t all = STACK * (MOST + 1);
        stacks = (char *)mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        inner = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i <= MOST; i++) mprotect(stacks + STACK * i, 4096, PROT_NONE);
        state ^= settings().seed * 0xd1342543de82ef95ull;
    }
    stack_t mine = {}, before_stack = {};
    static char signals[64 << 10];
    sigaltstack(nullptr, &before_stack);
    mine.ss_sp = signals;
    mine.ss_size = sizeof signals;
    bool alternate = (before_stack.ss_flags & SS_DISABLE) != 0 && sigaltstack(&mine, nullptr) == 0;
    struct sigaction before[5];
    listen(before);
    launch = &what;
    std::vector<void *> pointers;
    std::vector<char> copy = what.arguments;
    for (u32 at : what.offsets) pointers.push_back(copy.data() + at);
    arguments = pointers.data();
    standin_now.threads = {what.block[0], what.block[1], what.block[2]};
    standin_now.blocks = {what.grid[0], what.grid[1], what.grid[2]};
    standin_now.dynamic = dynamic_memory;
    count = (int)(what.block[0] * what.block[1] * what.block[2]);
    for (int t = 0; t < count; t++) {
        u32 i = (u32)t;
        threads[t].index = {i % what.block[0], i / what.block[0] % what.block[1], i / what.block[0] / what.block[1]};
    }
    now.first_unit = now.unit + 1;
    stopped = false;
    shadow_launch();
    Context blocks;
    prepare(blocks, inner, STACK, blocks_body);
    in_block = true;
    change(here, blocks);
    in_block = false;
    for (int i = 0; i < 5; i++) sigaction(SIGNALS[i], before + i, nullptr);
    if (alternate) sigaltstack(&before_stack, nullptr);
    static int played = 0;
    if (settings().play == "fail-" + std::to_string(++played))
        return fault(ILLEGAL_ADDRESS, "kernel " + what.kernel->name + ": played to fail");
    if (!stopped) {
        std::string hurt = hurt_zone();
        return hurt.empty() ? SUCCESS : fault(ILLEGAL_ADDRESS, "kernel " + what.kernel->name + ": " + hurt);
    }
    std::string line = stop_pc ? line_of_code(stop_pc) : "";
    return fault(stop_code, "kernel " + what.kernel->name + ": " + stop_text + (line.empty() ? "" : " at line " + line));
}

extern "C" {

int standin_barrier(int line, int kind, int value) {
    Thread &t = threads[current];
    t.state = AT_BARRIER;
    t.line = line;
    t.kind = kind;
    t.value = value;
    at_barrier++;
    wait();
    return t.value;
}

void standin_warp(int kind, unsigned mask, int line, int from, const void *in, int in_bytes, void *out, int out_bytes) {
    Thread &t = threads[current];
    int lane = current & 31;
    t.kind = kind;
    t.line = line;
    t.mask = mask;
    t.from = from;
    t.in_bytes = in_bytes;
    t.out = out;
    t.out_bytes = out_bytes;
    memcpy(t.in, in, in_bytes);
    t.state = AT_WARP;
    if (!(mask >> lane & 1)) stop(LAUNCH_FAILED, "wrong mask: " + doing(current) + ", which does not name it");
    Thread *w = threads + (current & ~31);
    int lanes = std::min(32, count - (current & ~31));
    u32 exists = lanes == 32 ? ~0u : (1u << lanes) - 1;
    if (mask & ~exists)
        stop(LAUNCH_FAILED, "wrong mask: " + doing(current) + ", but the warp has " + std::to_string(lanes) + " threads");
    for (u32 left = mask; left; left &= left - 1) {
        Thread &o = w[__builtin_ctz(left)];
        if (o.state == DONE) stop(LAUNCH_FAILED, "wrong mask: " + doing(current) + ", " + doing((int)(&o - threads)));
        if (o.state == AT_WARP && o.mask == mask && o.kind == kind && o.line == line) continue;
        // Lanes that wait for this one elsewhere wait for ever; others may still come.
        if (o.state == AT_WARP && o.mask >> lane & 1)
            stop(LAUNCH_FAILED, "wrong mask: " + doing(current) + ", " + doing((int)(&o - threads)));
        wait();
        return;
    }
    complete(w, mask);
    for (u32 left = mask; left; left &= left - 1) {
        int o = (int)(w - threads) + __builtin_ctz(left);
        if (o != current) ready_now(o);
    }
    t.state = RUNNING;
    now.warp_met = t.warp_met;
}

void standin_fence(int) {}

void standin_trap(const char *why, int line) {
    stop_thread(why[0] == 'a' ? ASSERT : ILLEGAL_INSTRUCTION, std::string(why) + " at line " + std::to_string(line));
}

unsigned standin_to_shared(const void *p) {
    const char *c = (const char *)p;
    if (c >= dynamic_memory && c < dynamic_memory + DYNAMIC) return (u32)(c - dynamic_memory) + 0x100000;
    if (c >= launch->kernel->shared && c < launch->kernel->shared + launch->kernel->shared_bytes)
        return (u32)(c - launch->kernel->shared) + 0x1000;
    stop_thread(ILLEGAL_ADDRESS, "an address that is not of shared memory");
}

unsigned long long standin_clock() {
    return (unsigned long long)std::chrono::steady_clock::now().time_since_epoch().count();
}

// Asynchronous copies to shared memory land as late as allowed: when the thread waits for them.
void standin_copy_later(unsigned to, const void *from, int bytes, int present) {
    auto &groups = open_copies[current];
    copies_open = true;
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back({to, from, bytes, present});
}
void standin_copy_commit() {
    auto &groups = open_copies[current];
    if (groups.empty()) groups.emplace_back();
    groups.emplace_back();
}
void standin_copy_wait(int open) {
    auto &groups = open_copies[current];
    // The last is the group that is still being filled.
    while ((int)groups.size() > open + 1) {
        for (const Later &c : groups.front()) {
            char *to = from_shared(c.to);
            if (settings().check) {
                check_read((const char *)c.from, c.present);
                check_write(to, c.bytes);
            }
            memset(to, 0, c.bytes);
            memcpy(to, c.from, c.present);
        }
        groups.erase(groups.begin());
    }
}
} // extern "C"

} // namespace standin

// Checks of single accesses. Kernels that are compiled for checking call `__tsan_*` at every load and store, and code that
// would be misaligned or beyond an array's end calls `__ubsan_*`: the compiler writes both calls, what they do is here. Each byte of
// device and shared memory has a cell that says which thread of which block wrote and read it last, and when, counted in
// meetings of the block; two accesses that no meeting separates, one of them a write, race.
#include "core.h"
#include <cstdio>
#include <cstring>

namespace standin {

struct Cell {
    u32 write_unit, write_who; // block, and thread * 2^22 + meeting
    u32 read_unit, read_who;   // the same; bit 21 of who: more than one thread, bit 20: of more than one warp
};

namespace {

constexpr u32 MANY = 1u << 21, WIDE = 1u << 20, SERIAL = WIDE - 1;
constexpr size_t SHARED = 300 << 10;
Cell shared_cells[2][SHARED];
char *shared_at[2];
size_t shared_size[2];
Region *last = nullptr;

struct Where {
    Cell *cell;
    bool shared;
};

[[noreturn]] void report(Result code, const std::string &what, const void *pc) { stop_thread(code, what, pc); }

bool find(const char *p, int bytes, bool write, const void *pc, Where &where) {
    if (last && p >= last->start && p + bytes <= last->start + last->bytes) {
        where = {last->cells ? last->cells + (p - last->start) : nullptr, false};
        return where.cell != nullptr;
    }
    for (int i = 0; i < 2; i++)
        if (p >= shared_at[i] && p + bytes <= shared_at[i] + shared_size[i]) {
            where = {shared_cells[i] + (p - shared_at[i]), true};
            return true;
        }
    if (is_own(p)) return false;
    if (Region *r = region_of(p)) {
        if (p + bytes <= r->start + r->bytes) {
            last = r;
            where = {r->cells ? r->cells + (p - r->start) : nullptr, false};
            return where.cell != nullptr;
        }
    } else if (!write && in_module(p)) {
        return false; // a constant of the module
    }
    size_t distance = 0;
    bool behind = false;
    Region *near = region_around(p, &distance, &behind);
    char text[160];
    snprintf(text, sizeof text, "%s of %d bytes at %p, outside all memory", write ? "write" : "read", bytes, (const void *)p);
    std::string what = text;
    if (near)
        what += ": " + std::to_string(distance) + " bytes " + (behind ? "behind" : "before") + " a buffer of " +
                std::to_string(near->bytes);
    report(ILLEGAL_ADDRESS, what, pc);
}

// Whether an access of this launch was before everything that this thread does now.
bool before(u32 unit, u32 who, bool shared) {
    if (unit < now.first_unit) return true;
    if (unit != now.unit) return shared || now.acquired;
    u32 thread = who >> 22, serial = who & SERIAL;
    if (who & WIDE) return serial < now.block_met;
    if ((int)thread == now.thread && !(who & MANY)) return true;
    if (serial < now.block_met) return true;
    return (int)(thread >> 5) == now.thread >> 5 && serial < now.warp_met;
}

[[noreturn]] void race(const char *what, const char *p, u32 unit, u32 who, const Where &where, const void *pc) {
    char text[256];
    std::string other = unit != now.unit ? "a thread of another block" : who & MANY ? "several threads" : "thread " + std::to_string(who >> 22);
    snprintf(text, sizeof text, "race on %s memory %p: %s by %s with no barrier between", where.shared ? "shared" : "global",
             (const void *)p, what, other.c_str());
    report(LAUNCH_FAILED, text, pc);
}

void read(const char *p, int bytes, const void *pc) {
    if (!running()) return;
    Where where;
    if (!find(p, bytes, false, pc, where)) return;
    u32 mine = (u32)now.thread << 22 | (now.serial & SERIAL);
    for (int i = 0; i < bytes; i++) {
        Cell &c = where.cell[i];
        if (where.shared ? c.write_unit != now.unit : c.write_unit == 0)
            report(ILLEGAL_ADDRESS, where.shared ? "read of shared memory that this block never wrote" : "read of memory that was never written", pc);
        if (!before(c.write_unit, c.write_who, where.shared)) race("read here, written", p, c.write_unit, c.write_who, where, pc);
        if (c.read_unit != now.unit || (c.read_who & SERIAL) < now.block_met) {
            // Readers of other blocks of this launch are all alike: keep that there was one.
            bool other = c.read_unit >= now.first_unit && c.read_unit != now.unit;
            c.read_unit = now.unit;
            c.read_who = mine | (other ? MANY | WIDE : 0);
        } else if (c.read_who & WIDE || c.read_who >> 27 != (u32)now.thread >> 5) {
            c.read_who = mine | MANY | WIDE;
        } else if ((c.read_who & SERIAL) < now.warp_met) {
            // What this warp read before it met does not matter any more.
            c.read_who = mine;
        } else {
            bool another = c.read_who >> 22 != (u32)now.thread;
            c.read_who = mine | (another ? MANY : c.read_who & MANY);
        }
    }
}

void write(char *p, int bytes, const void *pc) {
    if (!running()) return;
    Where where;
    if (!find(p, bytes, true, pc, where)) return;
    for (int i = 0; i < bytes; i++) {
        Cell &c = where.cell[i];
        if (!before(c.write_unit, c.write_who, where.shared)) race("written here, also written", p, c.write_unit, c.write_who, where, pc);
        if (!before(c.read_unit, c.read_who, where.shared)) race("written here, read", p, c.read_unit, c.read_who, where, pc);
        c.write_unit = now.unit;
        c.write_who = (u32)now.thread << 22 | (now.serial & SERIAL);
    }
}

} // namespace

void check_read(const char *p, int bytes) { read(p, bytes, nullptr); }
void check_write(char *p, int bytes) { write(p, bytes, nullptr); }

void shadow_launch() { last = nullptr; }

void shadow_block(char *shared, size_t shared_bytes, char *dynamic, size_t dynamic_bytes) {
    shared_at[0] = shared;
    shared_size[0] = shared_bytes < SHARED ? shared_bytes : SHARED;
    shared_at[1] = dynamic;
    shared_size[1] = dynamic_bytes;
}

void wrote(const void *p, size_t bytes) {
    Region *r = region_of(p);
    if (!r || !r->cells) return;
    Cell *c = r->cells + ((const char *)p - r->start);
    for (size_t i = 0; i < bytes; i++) c[i].write_unit = c[i].write_unit ? c[i].write_unit : 1;
}

size_t cell_bytes() { return sizeof(Cell); }

extern "C" {

// What the compiler hands over: where in the source, and more that is not needed.
struct Source {
    const char *file;
    u32 line, column;
};

#define STANDIN_ACCESS(n)                                                                            \
    void __tsan_read##n(void *p) { read((char *)p, n, __builtin_return_address(0)); }                \
    void __tsan_write##n(void *p) { write((char *)p, n, __builtin_return_address(0)); }              \
    void __tsan_unaligned_read##n(void *p) { read((char *)p, n, __builtin_return_address(0)); }      \
    void __tsan_unaligned_write##n(void *p) { write((char *)p, n, __builtin_return_address(0)); }
STANDIN_ACCESS(1)
STANDIN_ACCESS(2)
STANDIN_ACCESS(4)
STANDIN_ACCESS(8)
STANDIN_ACCESS(16)
void __tsan_read_range(void *p, long bytes) { read((char *)p, (int)bytes, __builtin_return_address(0)); }
void __tsan_write_range(void *p, long bytes) { write((char *)p, (int)bytes, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    read((const char *)from, (int)bytes, __builtin_return_address(0));
    write((char *)to, (int)bytes, __builtin_return_address(0));
    return memcpy(to, from, bytes);
}
void *__tsan_memset(void *to, int value, size_t bytes) {
    write((char *)to, (int)bytes, __builtin_return_address(0));
    return memset(to, value, bytes);
}

void standin_atomic_load(const void *p, void *out, int bytes) {
    Where where;
    if (settings().check) find((const char *)p, bytes, true, __builtin_return_address(0), where);
    if ((size_t)p % bytes) stop_thread(MISALIGNED_ADDRESS, "misaligned atomic operation");
    memcpy(out, p, bytes);
    now.acquired = true;
}
void standin_atomic_store(void *p, const void *in, int bytes) {
    memcpy(p, in, bytes);
    if (settings().check) wrote(p, bytes);
}

void __ubsan_handle_type_mismatch_v1_abort(void *data, size_t pointer) {
    struct Data {
        Source at;
        void *type;
        unsigned char log_alignment, kind;
    } *d = (Data *)data;
    char text[128];
    size_t alignment = (size_t)1 << d->log_alignment;
    if (pointer == 0 || pointer % alignment == 0)
        stop_thread(ILLEGAL_ADDRESS, "access through a null pointer at line " + std::to_string(d->at.line));
    snprintf(text, sizeof text, "misaligned access to %p, which needs a multiple of %zu, at line %u", (void *)pointer, alignment, d->at.line);
    stop_thread(MISALIGNED_ADDRESS, text);
}
void __ubsan_handle_out_of_bounds_abort(void *data, size_t index) {
    stop_thread(ILLEGAL_ADDRESS, "index " + std::to_string((long)index) + " is outside the array at line " + std::to_string(((Source *)data)->line));
}
void __ubsan_handle_shift_out_of_bounds_abort(void *data, size_t, size_t by) {
    stop_thread(LAUNCH_FAILED, "shift by " + std::to_string((long)by) + " at line " + std::to_string(((Source *)data)->line));
}
void __ubsan_handle_divrem_overflow_abort(void *data, size_t, size_t) {
    stop_thread(LAUNCH_FAILED, "integer division by zero at line " + std::to_string(((Source *)data)->line));
}
void __ubsan_handle_float_cast_overflow_abort(void *data, size_t) {
    stop_thread(LAUNCH_FAILED, "a float outside the integer's range is cast at line " + std::to_string(((Source *)data)->line));
}
} // extern "C"

} // namespace standin

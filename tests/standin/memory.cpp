// Device memory: each buffer lies between guard pages, with red zones as far as they leave room, and is full of NaNs at first.
// The host cannot reach it: its pages are closed while no device work runs.
#include "core.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>

namespace standin {

size_t cell_bytes();

namespace {

constexpr size_t PAGE = 4096, ZONE = 256, ALIGN = 256;
// Pages that nobody may touch on each side of a buffer: wide enough that an index far outside lands there and not in something of
// the host's. They cost addresses, no memory.
constexpr size_t GUARD = (size_t)64 << 20;
// Floats of these bytes are huge: a sum that read one shows it.
constexpr unsigned char RED = 0xfe;
std::map<char *, Region> regions;
size_t taken = 0;
int opened = 0;

char *pages(size_t bytes, int how = PROT_READ | PROT_WRITE) {
    void *p = mmap(nullptr, bytes, how, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : (char *)p;
}

// Bytes before and behind a buffer that nobody may write.
void zones(const Region &r, char **front, char **behind, size_t *front_bytes, size_t *behind_bytes) {
    *front = r.map + GUARD;
    *front_bytes = (size_t)(r.start - *front);
    *behind = r.start + r.bytes;
    *behind_bytes = (size_t)(r.map + r.map_bytes - GUARD - *behind);
}

void protect(const Region &r, int how) { mprotect(r.map + GUARD, r.map_bytes - 2 * GUARD, how); }

} // namespace

void open_memory() {
    if (opened++ == 0)
        for (auto &[start, r] : regions)
            if (!r.host) protect(r, PROT_READ | PROT_WRITE);
}

void close_memory() {
    if (--opened == 0)
        for (auto &[start, r] : regions)
            if (!r.host) protect(r, PROT_NONE);
}

Region *region_of(const void *p) {
    auto it = regions.upper_bound((char *)p);
    if (it == regions.begin()) return nullptr;
    Region &r = std::prev(it)->second;
    return (char *)p < r.start + std::max<size_t>(r.bytes, 1) ? &r : nullptr;
}

Region *region_around(const void *p, size_t *distance, bool *behind) {
    Region *best = nullptr;
    for (auto &[start, r] : regions) {
        bool after = (char *)p >= r.start;
        size_t far = after ? (size_t)((char *)p - r.start - r.bytes) : (size_t)(r.start - (char *)p);
        if (!best || far < *distance) {
            best = &r;
            *distance = far;
            *behind = after;
        }
    }
    return best;
}

Result allocate(size_t bytes, bool host, void **out) {
    *out = nullptr;
    if (bytes == 0) return INVALID_VALUE;
    if (!host && taken + bytes > settings().memory) return OUT_OF_MEMORY;
    size_t room = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    size_t inside = (ZONE + room + PAGE - 1) / PAGE * PAGE;
    Region r = {};
    r.bytes = bytes;
    r.host = host;
    r.map_bytes = inside + 2 * GUARD;
    r.map = pages(r.map_bytes, PROT_NONE);
    if (!r.map) return OUT_OF_MEMORY;
    protect(r, PROT_READ | PROT_WRITE);
    // The end is as near to the guard page as alignment lets it be.
    r.start = r.map + GUARD + inside - room;
    char *front, *behind;
    size_t front_bytes, behind_bytes;
    zones(r, &front, &behind, &front_bytes, &behind_bytes);
    memset(front, RED, front_bytes);
    // What was never written is NaN in every float and no number that a program would have. Very large buffers stay
    // as the system gives them, or every test would touch all their pages.
    if (bytes <= (size_t)256 << 20) memset(r.start, 0xff, bytes);
    memset(behind, RED, behind_bytes);
    if (!host && settings().check) r.cells = (Cell *)pages(bytes * cell_bytes());
    if (!host && !opened) protect(r, PROT_NONE);
    if (!host) taken += bytes;
    *out = r.start;
    regions[r.start] = r;
    return SUCCESS;
}

Result release(void *p, bool host) {
    auto it = regions.find((char *)p);
    if (it == regions.end() || it->second.host != host) return INVALID_VALUE;
    open_memory();
    std::string hurt = hurt_zone();
    close_memory();
    Result whole = hurt.empty() ? SUCCESS : fault(ILLEGAL_ADDRESS, hurt);
    Region r = it->second;
    if (!host) taken -= r.bytes;
    if (r.cells) munmap(r.cells, r.bytes * cell_bytes());
    munmap(r.map, r.map_bytes);
    regions.erase(it);
    return whole;
}

size_t used() { return taken; }

std::string hurt_zone() {
    static const std::vector<unsigned char> red(2 * PAGE, RED);
    for (auto &[start, r] : regions) {
        char *part[2];
        size_t bytes[2];
        zones(r, &part[0], &part[1], &bytes[0], &bytes[1]);
        for (int i = 0; i < 2; i++) {
            if (!memcmp(part[i], red.data(), bytes[i])) continue;
            for (size_t at = 0; at < bytes[i]; at++) {
                if ((unsigned char)part[i][at] == RED) continue;
                char text[128];
                snprintf(text, sizeof text, "written %zu bytes %s a buffer of %zu", i ? at : bytes[0] - at,
                         i ? "behind the end of" : "before", r.bytes);
                memset(part[i], RED, bytes[i]);
                return std::string("a red zone was ") + text;
            }
        }
    }
    return "";
}

Result check_range(const void *p, size_t bytes, const char *what) {
    if (bytes == 0) return SUCCESS;
    Region *r = region_of(p);
    if (r && (char *)p + bytes <= r->start + r->bytes) return SUCCESS;
    fprintf(stderr, "stand-in device: %s of %zu bytes at %p leaves its buffer%s\n", what, bytes, p,
            r ? (" of " + std::to_string(r->bytes)).c_str() : ", or there is none");
    return INVALID_VALUE;
}

} // namespace standin

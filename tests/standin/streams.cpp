// Streams do their work as late as they may: when somebody waits for it. So a buffer that is used again too early and a result
// that is read too early are wrong here as they could be on a device. Graphs are played in an order drawn from the seed, among
// those that their edges allow.
#include "streams.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>

namespace standin {

namespace {

std::set<Stream *> streams;
std::set<Event *> events;
std::vector<Capture *> captures;
Stream null_stream;

double clock_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

} // namespace

Stream *stream_of(void *handle, bool *known) {
    // 0 is the null stream, 1 and 2 its names in older and newer programs.
    *known = (size_t)handle <= 2 || streams.count((Stream *)handle);
    return (size_t)handle <= 2 ? &null_stream : (Stream *)handle;
}

Stream *new_stream(bool apart) {
    Stream *s = new Stream;
    s->apart = apart;
    streams.insert(s);
    return s;
}

Result drop_stream(Stream *s) {
    Result r = drain(s);
    for (Event *e : events)
        if (e->stream == s) e->stream = nullptr;
    streams.erase(s);
    delete s;
    return r;
}

Result drain(Stream *s, u64 until) {
    if (Result f = faulted()) return f;
    open_memory();
    Result r = SUCCESS;
    while (r == SUCCESS && !s->queue.empty() && s->done < until) {
        Item item = std::move(s->queue.front());
        s->queue.pop_front();
        r = item.work();
        s->done++;
    }
    close_memory();
    if (r != SUCCESS) s->queue.clear();
    return r;
}

Result drain_all(bool apart_too) {
    std::vector<Stream *> all(streams.begin(), streams.end());
    all.push_back(&null_stream);
    if (settings().seed)
        for (size_t i = all.size() - 1; i > 0; i--) std::swap(all[i], all[random() % (i + 1)]);
    for (Stream *s : all)
        if (apart_too || !s->apart)
            if (Result r = drain(s)) return r;
    return faulted();
}

Result give(Stream *s, const char *what, Work work) {
    if (Result f = faulted()) return f;
    if (settings().trace) fprintf(stderr, "stand-in device: %s%s\n", what, s->capture ? " (captured)" : "");
    if (s->capture) {
        if (s->capture->invalid) return CAPTURE_INVALIDATED;
        Graph &g = *s->capture->graph;
        g.nodes.push_back({what, std::move(work), s->tail});
        s->tail = {(int)g.nodes.size() - 1};
        return SUCCESS;
    }
    // The null stream waits for the others and they for it.
    if (s == &null_stream)
        if (Result r = drain_all(false)) return r;
    s->queue.push_back({what, std::move(work)});
    s->given++;
    return s == &null_stream || settings().eager ? drain(s) : SUCCESS;
}

Event *new_event(bool timed) {
    Event *e = new Event;
    e->timed = timed;
    events.insert(e);
    return e;
}

bool is_event(Event *e) { return events.count(e) != 0; }

void drop_event(Event *e) {
    // What was recorded may still be in a queue.
    events.erase(e);
    if (e->stream) drain(e->stream, e->at);
    delete e;
}

Result record(Event *e, Stream *s) {
    if (s->capture) {
        e->capture = s->capture;
        e->tail = s->tail;
        return SUCCESS;
    }
    e->capture = nullptr;
    e->recorded = true;
    Result r = give(s, "cuEventRecord", [e] {
        e->time = clock_now();
        return SUCCESS;
    });
    e->stream = s;
    e->at = s->given;
    return r;
}

Result wait_for(Stream *s, Event *e) {
    if (e->capture) {
        if (std::find(captures.begin(), captures.end(), e->capture) == captures.end()) return INVALID_VALUE;
        if (s->capture && s->capture != e->capture) return CAPTURE_MERGE;
        if (!s->capture) {
            s->capture = e->capture;
            e->capture->streams.push_back(s);
            s->tail.clear();
        }
        for (int n : e->tail)
            if (std::find(s->tail.begin(), s->tail.end(), n) == s->tail.end()) s->tail.push_back(n);
        return SUCCESS;
    }
    if (s->capture) return SUCCESS;
    Stream *other = e->stream;
    u64 at = e->at;
    if (!other || other == s) return SUCCESS;
    return give(s, "cuStreamWaitEvent", [other, at] { return streams.count(other) ? drain(other, at) : SUCCESS; });
}

Result begin_capture(Stream *s, int mode) {
    if (s == &null_stream) return CAPTURE_UNSUPPORTED;
    if (s->capture) return INVALID_VALUE;
    Capture *c = new Capture;
    c->origin = s;
    c->mode = mode;
    c->streams.push_back(s);
    s->capture = c;
    s->tail.clear();
    captures.push_back(c);
    return SUCCESS;
}

Result end_capture(Stream *s, Graph **graph) {
    *graph = nullptr;
    Capture *c = s->capture;
    if (!c) return INVALID_VALUE;
    if (c->origin != s) return CAPTURE_UNMATCHED;
    // Everything must lie before the end of the stream that began.
    std::vector<bool> reached(c->graph->nodes.size());
    std::vector<int> open = s->tail;
    while (!open.empty()) {
        int n = open.back();
        open.pop_back();
        if (reached[n]) continue;
        reached[n] = true;
        for (int m : c->graph->nodes[n].after) open.push_back(m);
    }
    bool joined = std::all_of(reached.begin(), reached.end(), [](bool r) { return r; });
    Result r = c->invalid ? CAPTURE_INVALIDATED : joined ? SUCCESS : CAPTURE_UNJOINED;
    for (Stream *t : c->streams) {
        t->capture = nullptr;
        t->tail.clear();
    }
    for (Event *e : events)
        if (e->capture == c) e->capture = nullptr;
    if (r == SUCCESS) *graph = c->graph.release();
    captures.erase(std::find(captures.begin(), captures.end(), c));
    delete c;
    return r;
}

Result forbidden_now() {
    Result r = SUCCESS;
    for (Capture *c : captures)
        if (c->mode != 2) {
            c->invalid = true;
            r = CAPTURE_UNSUPPORTED;
        }
    return r;
}

Result play(const Graph &g) {
    size_t n = g.nodes.size();
    std::vector<int> missing(n), ready;
    std::vector<std::vector<int>> next(n);
    for (size_t i = 0; i < n; i++) {
        missing[i] = (int)g.nodes[i].after.size();
        for (int a : g.nodes[i].after) next[a].push_back((int)i);
        if (!missing[i]) ready.push_back((int)i);
    }
    while (!ready.empty()) {
        size_t pick = settings().seed ? random() % ready.size() : 0;
        int i = ready[pick];
        ready.erase(ready.begin() + (long)pick);
        if (Result r = g.nodes[i].work()) return r;
        for (int m : next[i])
            if (--missing[m] == 0) ready.push_back(m);
    }
    return SUCCESS;
}

} // namespace standin

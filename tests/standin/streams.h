// Streams, events and graphs.
#pragma once
#include "core.h"
#include <deque>
#include <memory>

namespace standin {

struct Node {
    const char *what;
    Work work;
    std::vector<int> after;
};
struct Graph {
    std::vector<Node> nodes;
};
struct Stream;
struct Capture {
    std::unique_ptr<Graph> graph{new Graph};
    Stream *origin;
    int mode;
    bool invalid = false;
    std::vector<Stream *> streams;
};
struct Item {
    const char *what;
    Work work;
};
struct Stream {
    bool apart = false; // from the null stream
    std::deque<Item> queue;
    u64 given = 0, done = 0;
    Capture *capture = nullptr;
    std::vector<int> tail;
};
struct Event {
    Stream *stream = nullptr;
    u64 at = 0; // how much of its stream must be done
    bool timed = true, recorded = false;
    double time = 0;
    Capture *capture = nullptr;
    std::vector<int> tail;
};

Stream *stream_of(void *handle, bool *known);
Result give(Stream *stream, const char *what, Work work);
Result drain(Stream *stream, u64 until = ~0ull);
Result drain_all(bool apart_too);
Stream *new_stream(bool apart);
Result drop_stream(Stream *stream);
Result record(Event *event, Stream *stream);
Result wait_for(Stream *stream, Event *event);
bool is_event(Event *event);
Event *new_event(bool timed);
void drop_event(Event *event);
Result begin_capture(Stream *stream, int mode);
Result end_capture(Stream *stream, Graph **graph);
// What a call that a capture forbids answers; it also spoils the capture.
Result forbidden_now();
Result play(const Graph &graph);

} // namespace standin

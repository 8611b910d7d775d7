// The run-time compiler's entry points: the host's C++ compiler makes a shared object of the source, with `device.h` in front.
// The source itself stays as it is but for what plain C++ cannot say: each kernel's shared memory goes into a section of its own,
// and at the end stand entries by which the driver finds and calls the kernels.
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <set>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char **environ;

namespace {

enum { SUCCESS = 0, OUT_OF_MEMORY = 1, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };

struct Program {
    std::string source, name, log, image;
    bool general = false; // code for no device in particular
};

std::string variable(const char *name, const char *otherwise) {
    const char *v = getenv((std::string("NNC_STANDIN_") + name).c_str());
    return v && *v ? v : otherwise;
}

std::string folder() {
    Dl_info info;
    dladdr((void *)folder, &info);
    std::string path = info.dli_fname;
    char real[4096];
    if (realpath(path.c_str(), real)) path = real;
    return path.substr(0, path.rfind('/'));
}

std::string read(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

int start(const std::vector<std::string> &words, const std::string &errors) {
    std::vector<char *> list;
    for (const std::string &w : words) list.push_back((char *)w.c_str());
    list.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t child;
    int failed = posix_spawnp(&child, list[0], &files, nullptr, list.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed) return -1;
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct Found {
    std::string name, bound;
};

bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

// Where the text goes on behind white space and comments.
size_t skip(const std::string &s, size_t at) {
    for (;;) {
        while (at < s.size() && isspace((unsigned char)s[at])) at++;
        if (s.compare(at, 2, "//") == 0) at = s.find('\n', at);
        else if (s.compare(at, 2, "/*") == 0) at = s.find("*/", at) == std::string::npos ? s.size() : s.find("*/", at) + 2;
        else return at;
        if (at == std::string::npos) return s.size();
    }
}

size_t behind_brackets(const std::string &s, size_t at) {
    int depth = 0;
    for (; at < s.size(); at++) {
        if (s[at] == '"')
            for (at++; at < s.size() && s[at] != '"'; at++)
                if (s[at] == '\\') at++;
        if (s[at] == '(') depth++;
        if (s[at] == ')' && --depth == 0) return at + 1;
    }
    return at;
}

// The name and the promised number of threads of the kernel whose `__global__` ends here.
Found head_of(const std::string &s, size_t at) {
    Found found{"", "1024"};
    while ((at = skip(s, at)) < s.size()) {
        if (is_word(s[at])) {
            size_t end = at;
            while (end < s.size() && is_word(s[end])) end++;
            std::string word = s.substr(at, end - at);
            size_t next = skip(s, end);
            if (next < s.size() && s[next] == '(') {
                size_t close = behind_brackets(s, next);
                if (word == "__launch_bounds__") {
                    std::string inside = s.substr(next + 1, close - next - 2);
                    found.bound = inside.substr(0, inside.find(','));
                } else if (word != "__attribute__") {
                    found.name = word;
                    return found;
                }
                at = close;
            } else {
                at = end;
            }
        } else if (s[at] == ';' || s[at] == '{') {
            return found;
        } else {
            at++;
        }
    }
    return found;
}

// `extern __shared__ T name[];` becomes a pointer to the dynamic part; returns where the declaration ends.
size_t dynamic_shared(const std::string &s, size_t at, std::string &out) {
    size_t end = s.find(';', at), bracket = s.rfind('[', end);
    size_t stop = bracket;
    while (stop > at && isspace((unsigned char)s[stop - 1])) stop--;
    size_t begin = stop;
    while (begin > at && is_word(s[begin - 1])) begin--;
    std::string type = s.substr(at, begin - at), name = s.substr(begin, stop - begin);
    for (const char *word : {"__align__", "alignas"}) {
        size_t a = type.find(word);
        if (a != std::string::npos) type.erase(a, behind_brackets(type, a) - a);
    }
    out += type + "*const " + name + " = (" + type + "*)standin_now.dynamic;";
    return end + 1;
}

std::string trimmed(const std::string &s) {
    size_t a = 0, b = s.size();
    while (a < b && isspace((unsigned char)s[a])) a++;
    while (b > a && isspace((unsigned char)s[b - 1])) b--;
    return s.substr(a, b - a);
}

// The parts of a text between separators that stand in no brackets and no string.
std::vector<std::string> parts(const std::string &s, char separator) {
    std::vector<std::string> list(1);
    int depth = 0;
    for (size_t i = 0; i < s.size(); i++) {
        if (s[i] == '"') {
            size_t end = i + 1;
            while (end < s.size() && s[end] != '"') end += s[end] == '\\' ? 2 : 1;
            list.back() += s.substr(i, end + 1 - i);
            i = end;
            continue;
        }
        if (s[i] == '(' || s[i] == '[' || s[i] == '{') depth++;
        if (s[i] == ')' || s[i] == ']' || s[i] == '}') depth--;
        if (s[i] == separator && depth == 0) list.emplace_back();
        else list.back() += s[i];
    }
    return list;
}

// Machine instructions inside a text become calls of functions of `device.h`: `mma.sync.x {%0,%1}, {%2}, [%3], 16;` is
// `standin_ptx_mma_sync_x(a, b, c, d, 16)`, with the operands in the instruction's own order. What has no such function does not compile.
std::string instructions(const std::string &inside) {
    std::vector<std::string> sections = parts(inside, ':'), operands;
    std::string text;
    const std::string &t = sections[0];
    for (size_t i = 0; i < t.size(); i++) {
        if (t[i] != '"') continue;
        for (i++; i < t.size() && t[i] != '"'; i++) {
            if (t[i] == '\\' && i + 1 < t.size()) {
                i++;
                text += ' ';
            } else {
                text += t[i];
            }
        }
    }
    for (size_t k = 1; k < sections.size() && k < 3; k++)
        for (const std::string &o : parts(sections[k], ',')) {
            size_t open = o.find('(');
            if (open != std::string::npos) operands.push_back(trimmed(o.substr(open)));
        }
    std::string calls;
    for (const std::string &piece : parts(text, ';')) {
        std::string one = trimmed(piece);
        if (one.empty()) continue;
        size_t end = 0;
        while (end < one.size() && !isspace((unsigned char)one[end])) end++;
        std::string name = one.substr(0, end), list;
        for (char &c : name)
            if (!isalnum((unsigned char)c)) c = '_';
        for (size_t i = end; i < one.size();) {
            char c = one[i];
            if (c == '%' && i + 1 < one.size() && isdigit((unsigned char)one[i + 1])) {
                size_t n = strtoul(one.c_str() + i + 1, nullptr, 10);
                for (i++; i < one.size() && isdigit((unsigned char)one[i]); i++) {}
                list += n < operands.size() ? operands[n] : "standin_no_operand";
            } else if (strchr("{}[] \t", c)) {
                i++;
            } else {
                list += c;
                i++;
            }
        }
        calls += (calls.empty() ? "" : ", ") + ("standin_ptx_" + name) + "(" + list + ")";
    }
    return calls.empty() ? "((void)0)" : "(" + calls + ")";
}

std::string rewritten(const Program &p, std::vector<Found> &kernels) {
    const std::string &s = p.source;
    std::string out = "#line 1 \"" + p.name + "\"\n";
    std::set<std::string> seen;
    int line = 1;
    bool directive = false, line_start = true;
    for (size_t at = 0; at < s.size();) {
        char c = s[at];
        if (c == '\n') {
            directive = at > 0 && s[at - 1] == '\\' && directive;
            line++;
            line_start = true;
            out += s[at++];
            continue;
        }
        if (line_start && c == '#') directive = true;
        if (!isspace((unsigned char)c)) line_start = false;
        if (s.compare(at, 2, "//") == 0 || s.compare(at, 2, "/*") == 0) {
            size_t end = s[at + 1] == '/' ? s.find('\n', at) : s.find("*/", at);
            end = end == std::string::npos ? s.size() : s[at + 1] == '/' ? end : end + 2;
            for (; at < end; at++) {
                if (s[at] == '\n') line++;
                out += s[at];
            }
            continue;
        }
        if (c == '"' || c == '\'') {
            size_t end = at + 1;
            while (end < s.size() && s[end] != c && s[end] != '\n') end += s[end] == '\\' ? 2 : 1;
            end = std::min(end + 1, s.size());
            out += s.substr(at, end - at);
            at = end;
            continue;
        }
        if (is_word(c)) {
            size_t end = at;
            while (end < s.size() && is_word(s[end])) end++;
            std::string word = s.substr(at, end - at);
            if (word == "__global__" && !directive) {
                Found k = head_of(s, end);
                if (!k.name.empty() && seen.insert(k.name).second) {
                    kernels.push_back(k);
                    out += "\n#undef STANDIN_SECTION\n#define STANDIN_SECTION \"standin_shared_" +
                           std::to_string(kernels.size()) + "\"\n#line " + std::to_string(line) + "\n";
                }
            }
            size_t next = skip(s, end);
            if (word == "extern" && s.compare(next, 10, "__shared__") == 0) {
                size_t from = at;
                at = dynamic_shared(s, next + 10, out);
                for (; from < at; from++)
                    if (s[from] == '\n') {
                        line++;
                        out += '\n';
                    }
                continue;
            }
            if ((word == "asm" || word == "__asm__") && !directive) {
                size_t open = next;
                while (open < s.size() && is_word(s[open])) open++;
                open = skip(s, open);
                if (open < s.size() && s[open] == '(') {
                    size_t close = behind_brackets(s, open);
                    out += instructions(s.substr(open + 1, close - open - 2));
                    for (; at < close; at++)
                        if (s[at] == '\n') {
                            line++;
                            out += '\n';
                        }
                    continue;
                }
            }
            out += word;
            at = end;
            continue;
        }
        out += c;
        at++;
    }
    out += "\n#line 1 \"entries\"\nextern \"C\" {\n";
    std::string names;
    for (size_t i = 0; i < kernels.size(); i++) {
        const std::string &n = kernels[i].name, section = "standin_shared_" + std::to_string(i + 1);
        names += n + "\\n";
        out += "extern char __start_" + section + "[] __attribute__((weak, visibility(\"hidden\"))), __stop_" + section +
               "[] __attribute__((weak, visibility(\"hidden\")));\n";
        out += "void standin_call_" + n + "(void **a) { standin_call(" + n + ", a); }\n";
        out += "const unsigned *standin_sizes_" + n + "() { return standin_sizes(" + n + "); }\n";
        out += "int standin_bound_" + n + "() { return (" + kernels[i].bound + "); }\n";
        out += "void standin_shared_" + n + "(char **from, char **to) { *from = __start_" + section + "; *to = __stop_" + section + "; }\n";
    }
    out += "const char *standin_kernels() { return \"" + names + "\"; }\n}\n";
    return out;
}

uint64_t hash(const std::string &text, uint64_t h = 0xcbf29ce484222325ull) {
    for (unsigned char c : text) h = (h ^ c) * 0x100000001b3ull;
    return h;
}

std::string hex(uint64_t v) {
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)v);
    return text;
}

int compile(Program &p, int arch, const std::vector<std::string> &defines) {
    std::vector<Found> kernels;
    std::string text = rewritten(p, kernels), here = folder();
    bool check = variable("CHECK", "0") == "1";
    std::vector<std::string> words = {variable("CXX", "c++"), "-x", "c++", "-std=c++17", "-O1", "-g1", "-c", "-fPIC", "-nostdinc",
        "-w", "-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing",
        "-fno-math-errno", "-fno-gnu-unique", "-fno-stack-protector", "-fno-sanitize-recover=all",
        "-fsanitize=alignment,bounds,integer-divide-by-zero,shift-exponent", "-include", here + "/device.h"};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) words.push_back("-mfma");
#endif
    if (check) words.push_back("-fsanitize=thread");
    words.insert(words.end(), defines.begin(), defines.end());
    std::string key = text + read(here + "/device.h");
    for (const std::string &w : words) key += w + "\n";
    std::string name = hex(hash(key)) + hex(hash(key, 0x9e3779b97f4a7c15ull));
    std::string cache = variable("CACHE", (here + "/kernels").c_str());
    mkdir(cache.c_str(), 0700);
    std::string stem = cache + "/" + name, object = stem + ".so";
    if (access(object.c_str(), R_OK) != 0) {
        // A name of its own while it is being written: others may be at the same.
        static int serial = 0;
        std::string mine = stem + "." + std::to_string(getpid()) + "." + std::to_string(__sync_add_and_fetch(&serial, 1));
        std::ofstream(mine + ".cu", std::ios::binary) << text;
        std::vector<std::string> first = words;
        first.insert(first.end(), {"-o", mine + ".o", mine + ".cu"});
        int code = start(first, mine + ".log");
        p.log = read(mine + ".log");
        if (code == 0) {
            code = start({words[0], "-shared", "-nostdlib", "-Wl,--no-undefined", "-o", mine + ".so", mine + ".o", here + "/libcuda.so.1", "-lm", "-lc"}, mine + ".log");
            p.log += read(mine + ".log");
        }
        if (code == 0) rename((mine + ".so").c_str(), object.c_str());
        if (variable("KEEP", "0") != "1")
            for (const char *end : {".cu", ".o", ".log"}) unlink((mine + end).c_str());
        if (code != 0) {
            if (code < 0) p.log += "the host's C++ compiler `" + words[0] + "` could not be run\n";
            return COMPILATION;
        }
    }
    std::string code = read(object);
    uint64_t head[2] = {code.size(), (uint64_t)arch | (uint64_t)p.general << 32};
    p.image = "nnc-standin-cpu\n" + std::string((const char *)head, sizeof head) + code;
    return SUCCESS;
}

} // namespace

extern "C" {

int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return SUCCESS;
}
const char *nvrtcGetErrorString(int result) {
    switch (result) {
    case SUCCESS: return "NVRTC_SUCCESS";
    case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case COMPILATION: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR unknown";
    }
}
int nvrtcGetNumSupportedArchs(int *count) {
    *count = 3;
    return SUCCESS;
}
int nvrtcGetSupportedArchs(int *archs) {
    archs[0] = 80;
    archs[1] = 90;
    archs[2] = 100;
    return SUCCESS;
}
int nvrtcCreateProgram(Program **program, const char *source, const char *name, int headers, const char *const *, const char *const *) {
    if (!source || headers != 0) return INVALID_INPUT;
    *program = new Program{source, name && *name ? name : "default_program", "", "", false};
    return SUCCESS;
}
int nvrtcDestroyProgram(Program **program) {
    if (!program || !*program) return INVALID_PROGRAM;
    delete *program;
    *program = nullptr;
    return SUCCESS;
}
int nvrtcCompileProgram(Program *p, int count, const char *const *options) {
    if (!p) return INVALID_PROGRAM;
    int arch = 75;
    std::vector<std::string> defines;
    for (int i = 0; i < count; i++) {
        std::string o = options[i];
        auto begins = [&](const char *with) { return o.compare(0, strlen(with), with) == 0; };
        size_t number = o.find_first_of("0123456789");
        if (begins("--gpu-architecture=") || begins("-arch=")) {
            arch = number == std::string::npos ? 0 : atoi(o.c_str() + number);
            p->general = o.find("compute_") != std::string::npos;
        }
        else if (begins("-D")) defines.push_back(o);
        else if (begins("--define-macro=")) defines.push_back("-D" + o.substr(15));
        else if (!begins("--std=") && !begins("-std=") && !begins("--fmad=") && !begins("-fmad=") && !begins("--ptxas-options=") &&
                 !begins("--use_fast_math") && !begins("--prec-") && !begins("--ftz=") && !begins("-default-device") &&
                 !begins("--device-as-default") && !begins("-lineinfo") && !begins("--generate-line-info") && !begins("--extra-device-vectorization") &&
                 !begins("--restrict") && !begins("--diag-suppress") && !begins("-w") && !begins("--disable-warnings") &&
                 !begins("--maxrregcount") && !begins("--split-compile") && !begins("--minimal")) {
            p->log = "nvrtc: error: unrecognized option " + o + " found\n";
            return INVALID_OPTION;
        }
    }
    if (arch < 75 || arch > 120) {
        p->log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
        return INVALID_OPTION;
    }
    if (variable("PLAY", "") == "no-compiler") {
        p->log = "nvrtc: error: failed to open libnvrtc-builtins.so\n";
        return 7;
    }
    if (p->source.find("#include") != std::string::npos && p->source.find("\n#include") != std::string::npos) {
        p->log = p->name + ": catastrophic error: cannot open source file\n";
        return COMPILATION;
    }
    defines.push_back("-D__CUDA_ARCH__=" + std::to_string(arch * 10));
    return compile(*p, arch, defines);
}
int nvrtcGetProgramLogSize(Program *p, size_t *bytes) {
    *bytes = p->log.size() + 1;
    return SUCCESS;
}
int nvrtcGetProgramLog(Program *p, char *to) {
    memcpy(to, p->log.c_str(), p->log.size() + 1);
    return SUCCESS;
}
int nvrtcGetCUBINSize(Program *p, size_t *bytes) {
    *bytes = p->general ? 0 : p->image.size();
    return p->image.empty() ? INVALID_PROGRAM : SUCCESS;
}
int nvrtcGetCUBIN(Program *p, char *to) {
    memcpy(to, p->image.data(), p->image.size());
    return SUCCESS;
}
int nvrtcGetPTXSize(Program *p, size_t *bytes) {
    *bytes = p->image.size();
    return p->image.empty() ? INVALID_PROGRAM : SUCCESS;
}
int nvrtcGetPTX(Program *p, char *to) { return nvrtcGetCUBIN(p, to); }
} // extern "C"

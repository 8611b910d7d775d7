// Switching between stacks: a few instructions where the processor is known, ucontext elsewhere.
#pragma once
#include <cstddef>

namespace standin {

#if defined(__x86_64__)
extern "C" void standin_switch(void **from, void *to);
asm(R"(
.text
.globl standin_switch
.hidden standin_switch
.type standin_switch, @function
standin_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size standin_switch, .-standin_switch
)");
struct Context {
    void *sp = nullptr;
};
inline void prepare(Context &c, char *stack, size_t bytes, void (*entry)()) {
    void **top = (void **)(((size_t)(stack + bytes)) & ~(size_t)15);
    *--top = nullptr; // the entry's return address: it never returns
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    c.sp = top;
}
inline void change(Context &from, Context &to) { standin_switch(&from.sp, to.sp); }
#else
} // namespace standin
#include <ucontext.h>
namespace standin {
struct Context {
    ucontext_t c;
};
inline void prepare(Context &c, char *stack, size_t bytes, void (*entry)()) {
    getcontext(&c.c);
    c.c.uc_stack.ss_sp = stack;
    c.c.uc_stack.ss_size = bytes;
    c.c.uc_link = nullptr;
    makecontext(&c.c, entry, 0);
}
inline void change(Context &from, Context &to) { swapcontext(&from.c, &to.c); }
#endif

} // namespace standin

/* What the page calls. One program, one size of input and one picture at a time: the memory of each begins where that of
 * the one before ends. Pointers are offsets in the module's memory.
 */
#include "network.h"

#define PAGE 65536u

static network net;
static uintptr_t next, limit, after_program, after_layout;

void *reserve(size_t count) {
    const uintptr_t here = (next + 15) & ~(uintptr_t)15;
    if (count > 0x70000000u || here + count + PAGE < here) {
        return NULL;
    }
    if (here + count > limit) {
#if defined(__wasm__)
        const size_t pages = (here + count - limit + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
            return NULL;
        }
        limit += pages * PAGE;
#else
        return NULL;
#endif
    }
    next = here + count;
    __builtin_memset((void *)here, 0, count);
    return (void *)here;
}

/* Take the memory from one address to another, which is more than this for a module, whose memory grows. */
EXPORT void begin(uintptr_t memory, uintptr_t end) {
    next = memory;
    limit = end;
}

/* Where the words of a program go. */
EXPORT void *program_words(uint32_t count) {
    return reserve((size_t)count * 4);
}

/* 0, or -1 for words that are no program. */
EXPORT int load_program(const uint32_t *data, uint32_t count) {
    const int status = load(&net, data, count);
    after_program = next;
    return status;
}

/* The size of the network's input; 0, -1 for one that it cannot take, -2 where memory ends. */
EXPORT int set_size(int32_t width, int32_t height) {
    int status;
    next = after_program;
    status = lay_out(&net, width, height);
    after_layout = next;
    return status;
}

/* Where the pixels of a picture go, RGBA; NULL where memory ends. Valid until the next size or picture. */
EXPORT void *picture(int32_t width, int32_t height) {
    next = after_layout;
    return width < 1 || height < 1 || width > 16384 || height > 16384 ? NULL : reserve((size_t)width * (size_t)height * 4);
}

/* Put the picture into the input; 0, or -1 for a bad size. */
EXPORT int place(const uint8_t *rgba, int32_t width, int32_t height) {
    return letterbox(&net, rgba, width, height);
}

EXPORT void *input(void) {
    return net.input;
}

/* Run the network on the input; returns the output map, int32 (channels, height, width). */
EXPORT void *run_network(void) {
    run(&net);
    return net.output;
}

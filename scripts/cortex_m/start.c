/* Start of a bare-metal program under QEMU, whose loader has already filled .data and cleared .bss. */
#include <stdlib.h>

extern char __stack;
extern void initialise_monitor_handles(void);
extern int main(void);

/* What exit() looks for and start files would have. */
void _fini(void);
void _fini(void) {}

void reset(void);
void reset(void) {
    initialise_monitor_handles();
    exit(main());
}

__attribute__((section(".vectors"), used)) static void *const vectors[2] = {&__stack, (void *)reset};

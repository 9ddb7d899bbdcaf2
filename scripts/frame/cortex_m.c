/* Instructions of one frame, by the board's timer under `-icount shift=0`, where an instruction takes 1 ns. */
#include <stdio.h>
#include <stdlib.h>

#include "face.h"

#define TIMER ((volatile unsigned long *)0x40000000) /* CMSDK APB timer 0: control, value, reload; 25 MHz */
#define NS_A_TICK 40

#ifndef SIDE
#define SIDE 160
#endif

static uint64_t arena[FACE_ARENA_BYTES(SIDE, SIDE) / 8 + 1];
static uint8_t image[3 * SIDE * SIDE];
static int32_t output[FACE_OUTPUT_VALUES(SIDE, SIDE)];

int main(void) {
    unsigned long start;
    int i, status;
    for (i = 0; i < 3 * SIDE * SIDE; i++) {
        image[i] = (uint8_t)(rand() >> 8);
    }
    TIMER[2] = 0xffffffffu;
    TIMER[1] = 0xffffffffu;
    TIMER[0] = 1;
    start = TIMER[1];
    status = face_run(arena, sizeof arena, image, SIDE, SIDE, output);
    printf("%d: status %d, arena %lu bytes, %.2f M instructions\n", SIDE, status, (unsigned long)FACE_ARENA_BYTES(SIDE, SIDE),
           (double)(start - TIMER[1]) * NS_A_TICK / 1e6);
    return status;
}

/* Run FRAMES frames of SIDE x SIDE: what the second one adds to the instructions is what a frame takes. */
#include <stdlib.h>

#include "face.h"

static uint64_t arena[FACE_ARENA_BYTES(SIDE, SIDE) / 8 + 1];
static uint8_t image[3 * SIDE * SIDE];
static int32_t output[FACE_OUTPUT_VALUES(SIDE, SIDE)];

int main(int argc, char **argv) {
    int i, status = 0, frames = argc > 1 ? atoi(argv[1]) : 1;
    for (i = 0; i < 3 * SIDE * SIDE; i++) {
        image[i] = (uint8_t)(rand() >> 8);
    }
    for (i = 0; i < frames && status == 0; i++) {
        status = face_run(arena, sizeof arena, image, SIDE, SIDE, output);
    }
    return status != 0;
}

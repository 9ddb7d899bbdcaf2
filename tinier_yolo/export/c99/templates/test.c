/* Does network.c give the bits that the reference gives, on this machine, with this compiler?
 *
 *     cc -std=c99 -O2 network.c network_test.c && ./a.out
 *
 * With -DNETWORK_TRACE every map is compared; without it the output map. Exit code 0: all are equal.
 */
#include <stdio.h>
#include <string.h>

#include "network.h"

#define CASES @cases@
#define LARGEST NETWORK_ARENA_BYTES(@largest_width@, @largest_height@)
#define VALUES @values@

int network_test(void);

@image@
@golden@
static uint64_t arena[(LARGEST + 7) / 8 + 1];
static int32_t output[VALUES];

#ifdef NETWORK_TRACE
static uint32_t hashes[NETWORK_LAYERS];

void network_trace(int layer, int row, int column, int channel, int level) {
    (void)row;
    (void)column;
    (void)channel;
    hashes[layer] = (hashes[layer] ^ (uint32_t)level) * 0x01000193u;
}
#endif

/* Compare the maps of one case; returns how many differ. */
static int compare(int number, int status) {
    const int32_t width = sizes[number][0], height = sizes[number][1];
    const int32_t *expected = outputs + first_output[number];
    int differences = 0;
    size_t i;
    if (status != NETWORK_OK) {
        printf("network, %dx%d: status %d\n", (int)width, (int)height, status);
        return 1;
    }
    for (i = 0; i < NETWORK_OUTPUT_VALUES(width, height); i++) {
        if (output[i] != expected[i]) {
            printf("network, %dx%d: output %d is %ld, not %ld\n", (int)width, (int)height, (int)i, (long)output[i],
                   (long)expected[i]);
            differences++;
            break;
        }
    }
#ifdef NETWORK_TRACE
    for (i = 0; i + 1 < NETWORK_LAYERS; i++) {
        if (hashes[i] != sums[number][i]) {
            printf("network, %dx%d: map %d differs\n", (int)width, (int)height, (int)i);
            differences++;
        }
        hashes[i] = 0x811c9dc5u;
    }
#endif
    memset(output, 0, sizeof output);
    return differences;
}

/* What the functions say to arguments that are wrong; returns how many answers are. */
static int misuse(void) {
    const int32_t width = sizes[0][0], height = sizes[0][1];
    const size_t bytes = network_arena_bytes(width, height);
    int wrong = 0;
    wrong += network_run(NULL, bytes, image, width, height, output) != NETWORK_BAD_ARGUMENT;
    wrong += network_run(arena, bytes, NULL, width, height, output) != NETWORK_BAD_ARGUMENT;
    wrong += network_run(arena, bytes, image, width, height, NULL) != NETWORK_BAD_ARGUMENT;
    wrong += network_run((uint8_t *)arena + 4, bytes, image, width, height, output) != NETWORK_BAD_ARGUMENT;
    wrong += network_run(arena, bytes - 1, image, width, height, output) != NETWORK_SMALL_ARENA;
    wrong += network_run(arena, bytes, image, 0, height, output) != NETWORK_BAD_SIZE;
    wrong += network_run(arena, bytes, image, width, -1, output) != NETWORK_BAD_SIZE;
    wrong += network_run(arena, bytes, image, width, 1 << 20, output) != NETWORK_BAD_SIZE;
    wrong += NETWORK_STRIDE > 1 && network_run(arena, bytes, image, width + 1, height, output) != NETWORK_BAD_SIZE;
    memset(arena, 0, sizeof arena);
    wrong += network_row(arena, image) != NETWORK_BAD_ORDER;
    wrong += network_end(arena) != NETWORK_BAD_ORDER;
    wrong += network_begin(arena, bytes, width, height, output) != NETWORK_OK;
    wrong += network_row(arena, NULL) != NETWORK_BAD_ARGUMENT;
    wrong += height > 1 && (network_row(arena, image) != NETWORK_OK || network_end(arena) != NETWORK_BAD_ORDER);
    if (wrong != 0) {
        printf("network: %d misuses are not refused\n", wrong);
    }
    return wrong;
}

int network_test(void) {
    int differences = misuse(), number;
#ifdef NETWORK_TRACE
    int i;
    for (i = 0; i < NETWORK_LAYERS; i++) {
        hashes[i] = 0x811c9dc5u;
    }
#endif
    for (number = 0; number < CASES; number++) {
        const int32_t width = sizes[number][0], height = sizes[number][1];
        const size_t bytes = network_arena_bytes(width, height);
        if (@arena_differs@) {
            printf("network, %dx%d: %lu bytes of arena, but %lu as a constant\n", (int)width, (int)height,
                   (unsigned long)bytes, (unsigned long)NETWORK_ARENA_BYTES(width, height));
            differences++;
            continue;
        }
        memset(arena, 0xa5, sizeof arena);
        differences += compare(number, network_run(arena, bytes, image, width, height, output));
        if (((const uint8_t *)arena)[bytes] != 0xa5) {
            printf("network, %dx%d: written behind the arena\n", (int)width, (int)height);
            differences++;
        }
    }
    return differences;
}

#ifndef NETWORK_NO_MAIN
int main(void) {
    const int differences = network_test();
#ifdef NETWORK_TRACE
    printf("network: %d maps compared, %d differences\n", CASES * NETWORK_LAYERS, differences);
#else
    printf("network: %d maps compared, %d differences\n", CASES, differences);
#endif
    return differences != 0;
}
#endif

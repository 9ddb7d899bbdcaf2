/* network: an IFQ network in integers alone. Written by tinier-yolo @version@ from @source@.
 *
 * Strict C99, no allocation, no floating point, no state of its own: all memory is the caller's arena, so that any
 * number of runs may go on at once, each in an arena of its own. Compile network.c once; include this.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NETWORK_CHANNELS @channels@      /* of the image: bytes a pixel, RGB where 3 */
#define NETWORK_STRIDE @stride@        /* both sides of the image are multiples of it */
#define NETWORK_OUTPUTS @outputs@       /* channels of the output map */
#define NETWORK_FRACTION_BITS @fraction_bits@ /* the output map is in units of 2^-this */
#define NETWORK_LAYERS @layers@
#define NETWORK_WIDTH @width@        /* the size that the network was made for; others may be run */
#define NETWORK_HEIGHT @height@

/* Cells that are worked on at once, each in a byte: 4 in a word of 32 bits, 8 in one of 64, 16 in a vector of two. */
#ifndef NETWORK_CELLS
#if UINTPTR_MAX > 0xffffffffu && defined(__GNUC__)
#define NETWORK_CELLS 16
#elif UINTPTR_MAX > 0xffffffffu
#define NETWORK_CELLS 8
#else
#define NETWORK_CELLS 4
#endif
#endif

/* The output map of an image of these sides: (NETWORK_OUTPUTS, height, width), int32. */
#define NETWORK_OUTPUT_WIDTH(width) (@output_width@)
#define NETWORK_OUTPUT_HEIGHT(height) NETWORK_OUTPUT_WIDTH(height)
#define NETWORK_OUTPUT_VALUES(width, height) \
    ((size_t)NETWORK_OUTPUTS * (size_t)NETWORK_OUTPUT_WIDTH(width) * (size_t)NETWORK_OUTPUT_HEIGHT(height))

/* Bytes of the arena for images of this size: a constant where both are. Only the width counts. */
#define NETWORK_ARENA_BYTES(width, height) ((size_t)(0 * (height)) + @arena@)

/* What the functions return. */
enum network_status {
    NETWORK_OK = 0,
    NETWORK_BAD_ARGUMENT = -1,  /* a null pointer, or an arena that is not aligned to 8 bytes */
    NETWORK_BAD_SIZE = -2,      /* a size that the network cannot take */
    NETWORK_SMALL_ARENA = -3,   /* fewer bytes than network_arena_bytes */
    NETWORK_BAD_ORDER = -4      /* a row before begin or after the last one, or end before the last one */
};

/* Bytes of the arena for this size, NETWORK_ARENA_BYTES; 0 if the network cannot take it. */
size_t network_arena_bytes(int32_t width, int32_t height);

/* Run on a whole image, (height, width, channels) bytes; output has NETWORK_OUTPUT_VALUES values. */
int network_run(void *arena, size_t arena_bytes, const uint8_t *image, int32_t width, int32_t height, int32_t *output);

/* The same a row at a time, so that the image need not be in memory: begin, a row for each row, end. */
int network_begin(void *arena, size_t arena_bytes, int32_t width, int32_t height, int32_t *output);
int network_row(void *arena, const uint8_t *row);
int network_end(void *arena);

#ifdef NETWORK_TRACE
/* Yours, for tests: called with every level of every map, rows in order. */
void network_trace(int layer, int row, int column, int channel, int level);
#endif

#ifdef __cplusplus
}
#endif

#endif

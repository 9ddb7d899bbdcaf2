/* An integer program as data: what load() makes of the bytes that export/web/model.py writes, and how it is run. */
#ifndef NETWORK_H
#define NETWORK_H

#include "vectors.h"

#define MAX_LAYERS 64
#define MAX_SIZE 16 /* of a window */

typedef struct {
    int32_t channels, filters, size, stride, padding;
    int32_t pool_size, pool_stride, pool_padding; /* 1, 1, 0: no pool; 0: the last layer */
    int32_t in_bits, bits;                        /* of a level of the map that it reads and makes; 0: the last layer */
    int32_t narrow;                               /* limits and sums are below 2^15 */
    int32_t groups, blocks, planes, chunk;        /* of four channels, of 16 filters, of nibbles; groups that fit a byte */
    int32_t by_pixels;                            /* the image's own kernel */
    const uint32_t *bit_words;                    /* of a filter: (row, column, channel), the lowest bit first */
    int32_t filter_words;
    bytes *weights;             /* [block][row][column][group]: four bits of weights of 16 filters */
    uint8_t *combinations;      /* [filter][row][column]: the same for the image's own kernel */
    int16_t *limits;            /* [block][limit][16], in one or the other */
    int32_t *wide_limits;
    bytes *flips;               /* [block], 255 where a filter is flipped; NULL if none is */
    const int32_t *base, *multipliers, *biases; /* of the last layer */
    /* For one size of image: */
    int32_t width, height, columns, rows, out_width, out_height;
} layer;

typedef struct {
    layer layers[MAX_LAYERS];
    int32_t count, channels, letter_box, width, height;
    uint8_t *input;      /* (height, width, 4 * groups): bytes of the image, others 0 */
    uint8_t *maps[2];    /* (height, width, 16 * blocks): levels, others 0 */
    uint8_t *row, *ring; /* a row of levels; rows of tables */
    int32_t *output;     /* (filters, height, width) */
    uint8_t *scratch;    /* of the letterbox: 48 bytes a column */
} network;

/* Memory from here on, aligned to 16 bytes, zeros; NULL if there is no more. */
void *reserve(size_t bytes_);

int load(network *n, const uint32_t *data, size_t count);
int lay_out(network *n, int32_t width, int32_t height);
void run(network *n);
int letterbox(network *n, const uint8_t *rgba, int32_t image_width, int32_t image_height);

/* kernel.c */
void tables_of_row(const layer *l, const uint8_t *row, int32_t cell_bytes, uint8_t *to);
void convolve_row(const layer *l, const uint8_t *const *rows, int32_t y, uint8_t *levels, int32_t *output);
size_t table_row_bytes(const layer *l);

/* image.c */
void pixel_tables_of_row(const layer *l, const uint8_t *row, uint8_t *to);
void convolve_pixels(const layer *l, const uint8_t *const *rows, uint8_t *levels);
size_t pixel_row_bytes(const layer *l);

#endif

/* Sums by lookup, 16 filters in a vector.
 *
 * With w the bit of a weight (1 for +1), q a level of k bits, K = 2^k - 1 and B the number of a filter's +1:
 *
 *     sum of sign * level = K B - D,     D = sum of (w ? K - q : q)
 *
 * so sum > threshold means D < limit, where the limits have K B in them already. Padding is level 0 and needs no care.
 * What a group of four channels of one cell adds to D depends on four bits of weights: a table of 16 bytes, made once
 * for all filters and windows, in which a swizzle finds the summands of 16 filters. Bytes of the image are two levels of
 * four bits, D = 16 D(high) + D(low).
 */
#include "network.h"

/* Cells that are convolved at once. */
#define CELLS 4

size_t table_row_bytes(const layer *l) {
    return (size_t)(l->width + 2 * l->padding) * (size_t)(l->groups * l->planes) * 16;
}

/* Byte j of each four, in all places. */
#define EACH(q, j) __builtin_shufflevector(q, q, j, j, j, j, j, j, j, j, j, j, j, j, j, j, j, j)

/* The table of four levels, from them four times in a row; turned[j] has the highest level where bit j of an index is. */
INLINE bytes table_of(bytes q, const bytes *turned) {
    return (EACH(q, 0) ^ turned[0]) + (EACH(q, 1) ^ turned[1]) + (EACH(q, 2) ^ turned[2]) + (EACH(q, 3) ^ turned[3]);
}

INLINE bytes four_times(const uint8_t *q) {
    uint32_t all;
    __builtin_memcpy(&all, q, 4);
    return (bytes)((words){0} + all);
}

/* Tables of cells of the padding; returns where the next ones go. */
static bytes *padding_tables(const layer *l, bytes *table, const bytes *turned, int32_t cells) {
    const bytes none = turned[0] + turned[1] + turned[2] + turned[3];
    int32_t i;
    for (i = 0; i < cells * l->groups; i++) {
        *table++ = none;
    }
    return table;
}

static void turns(uint8_t top, bytes *turned) {
    int i, j;
    for (j = 0; j < 4; j++) {
        for (i = 0; i < 16; i++) {
            turned[j][i] = (i >> j & 1) != 0 ? top : 0;
        }
    }
}

/* Tables of a row, (plane, cell, group); row NULL: all cells are padding. */
void tables_of_row(const layer *l, const uint8_t *row, int32_t cell_bytes, uint8_t *to) {
    const bytes low = splat(15);
    bytes *table = (bytes *)(void *)to, turned[4];
    int32_t plane, cell, group;
    turns((uint8_t)(l->planes == 2 ? 15 : (1 << l->in_bits) - 1), turned);
    for (plane = 0; plane < l->planes; plane++) {
        const uint8_t *q = row;
        table = padding_tables(l, table, turned, row == NULL ? l->width + 2 * l->padding : l->padding);
        for (cell = 0; cell < l->width && row != NULL; cell++, q += cell_bytes) {
            for (group = 0; group < l->groups; group++) {
                bytes four = four_times(q + 4 * group);
                if (l->planes == 2) {
                    four = plane == 0 ? four >> 4 : four & low;
                }
                *table++ = table_of(four, turned);
            }
        }
        table = row == NULL ? table : padding_tables(l, table, turned, l->padding);
    }
}

/* Of four cells: bytes, and the sums of 16 bits for filters 0..7 and 8..15. Named one by one, so that all stay in
 * registers. */
typedef struct {
    bytes b0, b1, b2, b3;
} four_bytes;

typedef struct {
    halves low0, low1, low2, low3, high0, high1, high2, high3;
} four_sums;

INLINE void add_group(four_bytes *few, const uint8_t *table, size_t step, bytes index) {
    few->b0 += swizzle(*(const bytes *)(const void *)table, index);
    few->b1 += swizzle(*(const bytes *)(const void *)(table + step), index);
    few->b2 += swizzle(*(const bytes *)(const void *)(table + 2 * step), index);
    few->b3 += swizzle(*(const bytes *)(const void *)(table + 3 * step), index);
}

/* Add what n groups give, n at least 1. */
INLINE void add_groups(four_bytes *few, const uint8_t *table, size_t step, const bytes *w, int32_t n) {
    four_bytes f = *few;
    if ((n & 1) != 0) {
        add_group(&f, table, step, *w++);
        table += 16;
    }
    for (n >>= 1; n > 0; n--, table += 32, w += 2) {
        add_group(&f, table, step, w[0]);
        add_group(&f, table + 16, step, w[1]);
    }
    *few = f;
}

INLINE void widen(four_sums *s, four_bytes *few) {
    s->low0 += low_halves(few->b0);
    s->low1 += low_halves(few->b1);
    s->low2 += low_halves(few->b2);
    s->low3 += low_halves(few->b3);
    s->high0 += high_halves(few->b0);
    s->high1 += high_halves(few->b1);
    s->high2 += high_halves(few->b2);
    s->high3 += high_halves(few->b3);
    few->b0 = few->b1 = few->b2 = few->b3 = (bytes){0};
}

INLINE void times_16(four_sums *s) {
    s->low0 <<= 4;
    s->low1 <<= 4;
    s->low2 <<= 4;
    s->low3 <<= 4;
    s->high0 <<= 4;
    s->high1 <<= 4;
    s->high2 <<= 4;
    s->high3 <<= 4;
}

/* D of 16 filters for four cells, in 16 bits. */
INLINE four_sums add_up(const layer *l, const uint8_t *const *rows, size_t offset, const bytes *weights) {
    const size_t step = (size_t)(l->stride * l->groups) * 16, plane_bytes = table_row_bytes(l) / (size_t)l->planes;
    const int32_t n = l->size * l->groups, parts = (n + l->chunk - 1) / l->chunk, most = (n + parts - 1) / parts;
    four_sums sums = {{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}};
    int32_t plane, row, first;
    for (plane = 0; plane < l->planes; plane++) {
        const bytes *w = weights;
        four_bytes few = {{0}, {0}, {0}, {0}};
        int32_t filled = 0;
        times_16(&sums); /* what the high nibbles have given, if any */
        for (row = 0; row < l->size; row++) {
            const uint8_t *table = rows[row] + offset + (size_t)plane * plane_bytes;
            for (first = 0; first < n; first += most, table += 16 * most, w += most) {
                const int32_t here = n - first < most ? n - first : most;
                if (filled + here > l->chunk) {
                    widen(&sums, &few);
                    filled = 0;
                }
                filled += here;
                add_groups(&few, table, step, w, here);
            }
            w -= first - n; /* the last part may be a smaller one */
        }
        widen(&sums, &few);
    }
    return sums;
}

/* The same for one cell, where sums may need more than 16 bits or a row has fewer cells than four; not in a hurry. */
static void add_up_wide(const layer *l, const uint8_t *const *rows, size_t offset, const bytes *weights, uint32_t *sums) {
    const size_t plane_bytes = table_row_bytes(l) / (size_t)l->planes;
    int32_t plane, row, i, f;
    for (f = 0; f < 16; f++) {
        sums[f] = 0;
    }
    for (plane = 0; plane < l->planes; plane++) {
        const bytes *w = weights;
        for (f = 0; f < 16; f++) {
            sums[f] <<= 4;
        }
        for (row = 0; row < l->size; row++) {
            const uint8_t *table = rows[row] + offset + (size_t)plane * plane_bytes;
            for (i = 0; i < l->size * l->groups; i++, table += 16) {
                const bytes found = swizzle(*(const bytes *)(const void *)table, *w++);
                for (f = 0; f < 16; f++) {
                    sums[f] += found[f];
                }
            }
        }
    }
}

/* A level is the number of limits above D. */
INLINE bytes levels_of(const layer *l, int32_t block, halves low_sums, halves high_sums) {
    const int32_t n = (1 << l->bits) - 1;
    const signed_halves *limit = (const signed_halves *)(const void *)(l->limits + 16 * n * block);
    signed_halves low = {0}, high = {0};
    int32_t i;
    for (i = 0; i < n; i++) {
        low -= (signed_halves)low_sums < limit[2 * i];
        high -= (signed_halves)high_sums < limit[2 * i + 1];
    }
    return narrowed((halves)low, (halves)high);
}

static void levels_of_wide(const layer *l, int32_t block, const uint32_t *sums, uint8_t *levels) {
    const int32_t n = (1 << l->bits) - 1;
    int32_t i, f;
    for (f = 0; f < 16; f++) {
        uint8_t level = 0;
        for (i = 0; i < n; i++) {
            const int32_t at = 16 * (n * block + i) + f;
            level = (uint8_t)(level + ((int32_t)sums[f] < (l->narrow ? l->limits[at] : l->wide_limits[at])));
        }
        levels[f] = level;
    }
}

/* Values of the last layer. */
static void put_out(const layer *l, int32_t block, const uint32_t *sums, int32_t place, int32_t *output) {
    const int32_t end = l->filters - 16 * block;
    int32_t i;
    for (i = 0; i < (end < 16 ? end : 16); i++) {
        const int32_t f = 16 * block + i;
        output[(size_t)f * (size_t)(l->columns * l->rows) + (size_t)place] =
            l->multipliers[f] * (l->base[f] - (int32_t)sums[i]) + l->biases[f];
    }
}

static void put_out_four(const layer *l, int32_t block, const four_sums *sums, int32_t place, int32_t *output) {
    const halves *low = &sums->low0, *high = &sums->high0;
    int32_t c, f;
    for (c = 0; c < CELLS; c++) {
        uint32_t whole[16];
        for (f = 0; f < 16; f++) {
            whole[f] = f < 8 ? low[c][f] : high[c][f - 8];
        }
        put_out(l, block, whole, place + c, output);
    }
}

/* Four cells from x on and 16 filters. */
static void convolve(const layer *l, const uint8_t *const *rows, int32_t y, int32_t x, int32_t block, uint8_t *levels,
                     int32_t *output) {
    const size_t offset = (size_t)(x * l->stride * l->groups) * 16, pitch = (size_t)l->blocks;
    const bytes *weights = l->weights + (size_t)block * (size_t)(l->size * l->size * l->groups);
    const four_sums s = add_up(l, rows, offset, weights);
    if (l->bits != 0) {
        bytes *to = (bytes *)(void *)levels + (size_t)x * pitch + block;
        to[0] = levels_of(l, block, s.low0, s.high0);
        to[pitch] = levels_of(l, block, s.low1, s.high1);
        to[2 * pitch] = levels_of(l, block, s.low2, s.high2);
        to[3 * pitch] = levels_of(l, block, s.low3, s.high3);
    } else {
        put_out_four(l, block, &s, y * l->columns + x, output);
    }
}

static void convolve_wide(const layer *l, const uint8_t *const *rows, int32_t y, int32_t x, int32_t block,
                          uint8_t *levels, int32_t *output) {
    const size_t offset = (size_t)(x * l->stride * l->groups) * 16;
    uint32_t sums[16];
    add_up_wide(l, rows, offset, l->weights + (size_t)block * (size_t)(l->size * l->size * l->groups), sums);
    if (l->bits != 0) {
        levels_of_wide(l, block, sums, levels + ((size_t)x * (size_t)l->blocks + (size_t)block) * 16);
    } else {
        put_out(l, block, sums, y * l->columns + x, output);
    }
}

/* Row y of the convolution, from the tables of the rows of its windows. */
void convolve_row(const layer *l, const uint8_t *const *rows, int32_t y, uint8_t *levels, int32_t *output) {
    const int32_t last = l->columns - CELLS;
    int32_t block, x;
    for (block = 0; block < l->blocks; block++) {
        if (!l->narrow || last < 0) {
            for (x = 0; x < l->columns; x++) {
                convolve_wide(l, rows, y, x, block, levels, output);
            }
        } else {
            for (x = 0; x < l->columns; x += CELLS) {
                convolve(l, rows, y, x < last ? x : last, block, levels, output); /* the last ones overlap */
            }
        }
    }
}

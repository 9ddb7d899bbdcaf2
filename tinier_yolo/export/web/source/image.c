/* The image's own kernel, eight pixels in a vector: for up to three channels, windows that move by one pixel, and sums
 * below 2^15. What a pixel adds to D depends on the weights of its channels: up to eight sums of 16 bits, made once for
 * all filters and windows.
 */
#include "network.h"

#define PIXELS 8

static int32_t pitch_of(const layer *l) {
    return (l->width + 2 * l->padding + 3 * PIXELS) / PIXELS * PIXELS;
}

size_t pixel_row_bytes(const layer *l) {
    return (size_t)(pitch_of(l) << l->channels) * 2;
}

/* Channel c of eight pixels of four bytes, in 16 bits. */
INLINE halves channel(bytes a, bytes b, int c) {
    const uint8_t none = 16;
    const uint8_t p0 = (uint8_t)c, p1 = (uint8_t)(4 + c), p2 = (uint8_t)(8 + c), p3 = (uint8_t)(12 + c);
    const bytes low = {p0, none, p1, none, p2, none, p3, none, none, none, none, none, none, none, none, none};
    const bytes high = {none, none, none, none, none, none, none, none, p0, none, p1, none, p2, none, p3, none};
    return (halves)(picked(a, low) | picked(b, high));
}

/* Tables of eight pixels from their channels. */
INLINE void fill(const layer *l, const halves *q, uint16_t *table, int32_t pitch) {
    const halves all = (halves){0} + 255;
    int32_t combination, c;
    for (combination = 0; combination < 1 << l->channels; combination++, table += pitch) {
        halves sum = {0};
        for (c = 0; c < 3; c++) {
            sum += (combination >> c & 1) != 0 ? q[c] ^ all : q[c];
        }
        *(loose_halves *)(void *)table = sum;
    }
}

/* [combination of weights][pixel], the padding's pixels at both ends; row NULL: all are padding. */
void pixel_tables_of_row(const layer *l, const uint8_t *row, uint8_t *to) {
    const int32_t pitch = pitch_of(l), cells = l->width + 2 * l->padding;
    uint16_t *table = (uint16_t *)(void *)to;
    const halves zeros[3] = {{0}, {0}, {0}};
    int32_t x, c;
    for (x = 0; x < cells; x += PIXELS) {
        if (row == NULL || x < l->padding || x + PIXELS > l->width) {
            fill(l, zeros, table + x, pitch); /* what is of the image is written over below */
        }
    }
    for (x = 0; x < l->width && row != NULL; x += PIXELS) {
        bytes pixels[2] = {{0}, {0}};
        halves q[3];
        if (x + PIXELS <= l->width) {
            pixels[0] = *(const loose_bytes *)(const void *)(row + 4 * x);
            pixels[1] = *(const loose_bytes *)(const void *)(row + 4 * x + 16);
        } else {
            __builtin_memcpy(pixels, row + 4 * x, (size_t)(l->width - x) * 4);
        }
        for (c = 0; c < 3; c++) {
            q[c] = channel(pixels[0], pixels[1], c);
        }
        fill(l, q, table + l->padding + x, pitch);
    }
}

INLINE bytes interleaved_low(bytes a, bytes b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

INLINE bytes interleaved_high(bytes a, bytes b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/* (16 filters, 16 pixels) -> (16 pixels, 16 filters): four times the first half shuffled into the second like cards. */
INLINE void transpose(bytes *v) {
    int stage, i;
    for (stage = 0; stage < 4; stage++) {
        bytes next[16];
        for (i = 0; i < 8; i++) {
            next[2 * i] = interleaved_low(v[i], v[i + 8]);
            next[2 * i + 1] = interleaved_high(v[i], v[i + 8]);
        }
        for (i = 0; i < 16; i++) {
            v[i] = next[i];
        }
    }
}

/* The levels of a filter for 16 pixels. */
INLINE bytes levels_of(const layer *l, const uint8_t *const *rows, int32_t f, int32_t pitch, int32_t size) {
    const int32_t n = (1 << l->bits) - 1;
    const int16_t *limit = l->limits + (size_t)(f / 16 * n) * 16 + f % 16;
    const uint8_t *combination = l->combinations + f * size * size;
    halves low = {0}, high = {0};
    signed_halves low_levels = {0}, high_levels = {0};
    int32_t row, column, i;
    for (row = 0; row < size; row++) {
        for (column = 0; column < size; column++) {
            const uint8_t *from = rows[row] + *combination++ * pitch + 2 * column;
            low += *(const loose_halves *)(const void *)from;
            high += *(const loose_halves *)(const void *)(from + 16);
        }
    }
    for (i = 0; i < n; i++) {
        const signed_halves all = (signed_halves){0} + limit[16 * i];
        low_levels -= (signed_halves)low < all;
        high_levels -= (signed_halves)high < all;
    }
    return narrowed((halves)low_levels, (halves)high_levels);
}

/* Pixels x .. x + 15 of a row, as far as there are so many, and 16 filters. */
INLINE void convolve_block(const layer *l, const uint8_t *const *rows, int32_t x, int32_t block, int32_t size,
                           uint8_t *levels) {
    const int32_t end = l->filters - 16 * block < 16 ? l->filters - 16 * block : 16, pitch = 2 * pitch_of(l);
    bytes *to = (bytes *)(void *)levels + (size_t)x * (size_t)l->blocks + block;
    bytes v[16];
    int32_t i;
    for (i = 0; i < 16; i++) {
        v[i] = i < end ? levels_of(l, rows, 16 * block + i, pitch, size) : (bytes){0};
    }
    transpose(v);
    for (i = 0; i < 16 && x + i < l->columns; i++) {
        to[(size_t)i * (size_t)l->blocks] = v[i];
    }
}

void convolve_pixels(const layer *l, const uint8_t *const *rows, uint8_t *levels) {
    int32_t x, block, row;
    for (x = 0; x < l->columns; x += 16) {
        const uint8_t *from[MAX_SIZE];
        for (row = 0; row < l->size; row++) {
            from[row] = rows[row] + 2 * x;
        }
        for (block = 0; block < l->blocks; block++) {
            if (l->size == 3) {
                convolve_block(l, from, x, block, 3, levels); /* without loops over the window */
            } else {
                convolve_block(l, from, x, block, l->size, levels);
            }
        }
    }
}

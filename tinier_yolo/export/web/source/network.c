/* A program from its bytes, and one frame through it, layer by layer. */
#include "network.h"

#define MAGIC 0x31575954u /* TYW1 */
#define MAX_SIDE 4096
/* Rows of tables of the windows at work, and one of padding. */
#define RING_ROWS(l) ((l)->size + 1)

typedef struct {
    const uint32_t *at, *end;
} reader;

static const uint32_t *take(reader *r, size_t count) {
    const uint32_t *here = r->at;
    if ((size_t)(r->end - r->at) < count) {
        return NULL;
    }
    r->at += count;
    return here;
}

static void expand_weights(layer *l) {
    const int32_t count = l->size * l->size * l->groups;
    int32_t f, i;
    for (f = 0; f < l->filters; f++) {
        const uint32_t *w = l->bit_words + (size_t)f * (size_t)l->filter_words;
        for (i = 0; i < count; i++) {
            const uint8_t four = (uint8_t)(w[i / 8] >> (4 * (i % 8)) & 15u);
            ((uint8_t *)(void *)l->weights)[((size_t)(f / 16) * (size_t)count + (size_t)i) * 16 + (size_t)(f % 16)] = four;
            if (l->by_pixels) {
                l->combinations[f * count + i] = four;
            }
        }
    }
}

static void expand_limits(layer *l, const uint32_t *packed) {
    const int32_t n = (1 << l->bits) - 1;
    int32_t f, i;
    for (f = 0; f < l->filters; f++) {
        for (i = 0; i < n; i++) {
            const size_t to = (size_t)(f / 16 * n + i) * 16 + (size_t)(f % 16), from = (size_t)(f * n + i);
            if (l->narrow) {
                l->limits[to] = (int16_t)(packed[from / 2] >> (16 * (from % 2)));
            } else {
                l->wide_limits[to] = (int32_t)packed[from];
            }
        }
    }
}

/* Returns whether any filter is flipped. */
static int expand_flips(layer *l, const uint32_t *bits) {
    int32_t f, any = 0;
    for (f = 0; f < l->filters; f++) {
        if ((bits[f / 32] >> (f % 32) & 1u) != 0) {
            ((uint8_t *)(void *)l->flips)[f] = 255;
            any = 1;
        }
    }
    return any;
}

static void derive(layer *l, int first) {
    const int32_t most[] = {0, 63, 21, 9, 4};
    l->groups = (l->channels + 3) / 4;
    l->blocks = (l->filters + 15) / 16;
    l->planes = first ? 2 : 1;
    l->chunk = first ? 4 : most[l->in_bits];
    l->filter_words = (l->size * l->size * l->groups * 4 + 31) / 32;
    l->by_pixels = first && l->channels <= 3 && l->stride == 1 && l->narrow && l->bits != 0;
}

static int load_layer(network *n, layer *l, reader *r, int first) {
    const int32_t *numbers = (const int32_t *)take(r, 11);
    const uint32_t *packed, *bits;
    size_t filters, thresholds, taps;
    int32_t i, *fields = &l->channels;
    (void)n;
    if (numbers == NULL) {
        return -1;
    }
    for (i = 0; i < 11; i++) {
        fields[i] = numbers[i];
    }
    if (l->size < 1 || l->size > MAX_SIZE || l->filters < 1 || l->channels < 1 || l->stride < 1 || l->padding < 0 ||
        l->bits < 0 || l->bits > 4 || (!first && (l->in_bits < 1 || l->in_bits > 4))) {
        return -1;
    }
    derive(l, first);
    filters = (size_t)l->filters;
    taps = (size_t)(l->size * l->size * l->groups);
    l->bit_words = take(r, filters * (size_t)l->filter_words);
    l->weights = reserve((size_t)l->blocks * taps * 16);
    l->combinations = l->by_pixels ? reserve(filters * taps) : NULL;
    if (l->bit_words == NULL || l->weights == NULL || (l->by_pixels && l->combinations == NULL)) {
        return -1;
    }
    expand_weights(l);
    if (l->bits == 0) {
        l->base = (const int32_t *)take(r, filters);
        l->multipliers = (const int32_t *)take(r, filters);
        l->biases = (const int32_t *)take(r, filters);
        return l->biases == NULL ? -1 : 0;
    }
    thresholds = (size_t)((1 << l->bits) - 1);
    packed = take(r, l->narrow ? (filters * thresholds + 1) / 2 : filters * thresholds);
    bits = take(r, (filters + 31) / 32);
    l->limits = reserve((size_t)l->blocks * thresholds * 16 * 4);
    l->wide_limits = (int32_t *)(void *)l->limits;
    l->flips = reserve((size_t)l->blocks * 16);
    if (packed == NULL || bits == NULL || l->limits == NULL || l->flips == NULL) {
        return -1;
    }
    expand_limits(l, packed);
    if (!expand_flips(l, bits)) {
        l->flips = NULL;
    }
    return 0;
}

/* 0, or -1 for what is no program or does not fit. The data must stay where they are. */
int load(network *n, const uint32_t *data, size_t count) {
    reader r = {data, data + count};
    const uint32_t *head = take(&r, 4);
    int32_t i;
    if (head == NULL || head[0] != MAGIC || head[1] < 1 || head[1] > MAX_LAYERS) {
        return -1;
    }
    n->count = (int32_t)head[1];
    n->channels = (int32_t)head[2];
    n->letter_box = (int32_t)head[3];
    for (i = 0; i < n->count; i++) {
        if (load_layer(n, &n->layers[i], &r, i == 0) != 0) {
            return -1;
        }
    }
    return r.at == r.end ? 0 : -1;
}

static int32_t windows(int32_t side, int32_t size, int32_t stride, int32_t padding) {
    return side + padding < size ? 0 : (side + padding - size) / stride + 1;
}

static size_t row_bytes(const layer *l) {
    return l->by_pixels ? pixel_row_bytes(l) : table_row_bytes(l);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Memory for images of one size; 0, -1 for a size that the network cannot take, -2 where memory ends. */
int lay_out(network *n, int32_t width, int32_t height) {
    size_t map = 16, row = 16, ring = 16;
    int32_t i;
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) {
        return -1;
    }
    n->width = width;
    n->height = height;
    for (i = 0; i < n->count; i++) {
        layer *l = &n->layers[i];
        l->width = width;
        l->height = height;
        l->columns = windows(width, l->size, l->stride, 2 * l->padding);
        l->rows = windows(height, l->size, l->stride, 2 * l->padding);
        l->out_width = width = l->bits == 0 ? l->columns : windows(l->columns, l->pool_size, l->pool_stride, l->pool_padding);
        l->out_height = height = l->bits == 0 ? l->rows : windows(l->rows, l->pool_size, l->pool_stride, l->pool_padding);
        if (l->columns < 1 || l->rows < 1 || width < 1 || height < 1) {
            return -1;
        }
        map = larger(map, (size_t)width * (size_t)height * (size_t)l->blocks * 16);
        row = larger(row, (size_t)l->columns * (size_t)l->blocks * 16);
        ring = larger(ring, row_bytes(l) * (size_t)RING_ROWS(l));
    }
    n->input = reserve((size_t)n->width * (size_t)n->height * (size_t)n->layers[0].groups * 4);
    n->maps[0] = reserve(map);
    n->maps[1] = reserve(map);
    n->row = reserve(row);
    n->ring = reserve(ring);
    n->output = reserve((size_t)n->layers[n->count - 1].filters * (size_t)width * (size_t)height * 4);
    n->scratch = reserve((size_t)n->width * 48);
    /* What was reserved last is there only if all the rest is. */
    return n->scratch == NULL ? -2 : 0;
}

static int is_pooled(const layer *l) {
    return l->pool_size != 1 || l->pool_stride != 1 || l->pool_padding != 0;
}

/* The largest levels of the columns of each window of a row, into a row of the map where they are larger. */
static void pool_columns(const layer *l, const uint8_t *levels, uint8_t *to) {
    const int32_t before = l->pool_padding / 2, blocks = l->blocks;
    int32_t out, x, b;
    for (out = 0; out < l->out_width; out++) {
        const int32_t start = out * l->pool_stride - before, stop = start + l->pool_size;
        for (x = start < 0 ? 0 : start; x < stop && x < l->columns; x++) {
            const bytes *from = (const bytes *)(const void *)levels + (size_t)x * (size_t)blocks;
            bytes *best = (bytes *)(void *)to + (size_t)out * (size_t)blocks;
            for (b = 0; b < blocks; b++) {
                best[b] = larger_bytes(best[b], from[b]);
            }
        }
    }
}

/* The same where windows are two columns that touch and none is cut off. */
static void pool_pairs(const layer *l, const uint8_t *levels, uint8_t *to) {
    const int32_t blocks = l->blocks;
    const bytes *from = (const bytes *)(const void *)levels;
    bytes *best = (bytes *)(void *)to;
    int32_t out, b;
    for (out = 0; out < l->out_width; out++, from += 2 * blocks) {
        for (b = 0; b < blocks; b++, best++) {
            *best = larger_bytes(*best, larger_bytes(from[b], from[blocks + b]));
        }
    }
}

/* Put row y of the convolution into the windows that hold it. */
static void pool_row(const layer *l, const uint8_t *levels, int32_t y, uint8_t *map) {
    const int32_t place = y + l->pool_padding / 2, from = place - l->pool_size + 1;
    const size_t pitch = (size_t)l->out_width * (size_t)l->blocks * 16;
    const int pairs = l->pool_size == 2 && l->pool_stride == 2 && l->pool_padding < 2 && 2 * l->out_width <= l->columns;
    int32_t row = from <= 0 ? 0 : (from + l->pool_stride - 1) / l->pool_stride;
    for (; row <= place / l->pool_stride && row < l->out_height; row++) {
        (pairs ? pool_pairs : pool_columns)(l, levels, map + (size_t)row * pitch);
    }
}

/* A level of a flipped filter counts from the other end. */
static void flip(const layer *l, uint8_t *map) {
    const bytes top = splat((uint8_t)((1 << l->bits) - 1));
    bytes *cell = (bytes *)(void *)map, *end = cell + (size_t)l->out_width * (size_t)l->out_height * (size_t)l->blocks;
    int32_t b;
    while (cell < end) {
        for (b = 0; b < l->blocks; b++) {
            *cell++ ^= top & l->flips[b];
        }
    }
}

static void make_tables(const layer *l, const uint8_t *row, int32_t cell_bytes, uint8_t *to) {
    if (l->by_pixels) {
        pixel_tables_of_row(l, row, to);
    } else {
        tables_of_row(l, row, cell_bytes, to);
    }
}

static void run_layer(network *n, const layer *l, const uint8_t *from, int32_t cell_bytes, uint8_t *to) {
    const size_t row_size = row_bytes(l), pitch = (size_t)l->columns * (size_t)l->blocks * 16;
    const int pooled = l->bits != 0 && is_pooled(l);
    uint8_t *padding = n->ring + (size_t)l->size * row_size;
    int32_t y, row, made = 0;
    make_tables(l, NULL, cell_bytes, padding);
    if (pooled) {
        __builtin_memset(to, 0, (size_t)l->out_width * (size_t)l->out_height * (size_t)l->blocks * 16);
    }
    for (y = 0; y < l->rows; y++) {
        const int32_t first = y * l->stride - l->padding;
        const uint8_t *rows[MAX_SIZE];
        uint8_t *levels = pooled ? n->row : to + (size_t)y * pitch;
        made = made < first ? first : made;
        for (; made < first + l->size && made < l->height; made++) {
            const uint8_t *cells = from + (size_t)made * (size_t)l->width * (size_t)cell_bytes;
            make_tables(l, cells, cell_bytes, n->ring + (size_t)(made % l->size) * row_size);
        }
        for (row = 0; row < l->size; row++) {
            const int32_t here = first + row;
            rows[row] = here < 0 || here >= l->height ? padding : n->ring + (size_t)(here % l->size) * row_size;
        }
        if (l->by_pixels) {
            convolve_pixels(l, rows, levels);
        } else {
            convolve_row(l, rows, y, levels, n->output);
        }
        if (pooled) {
            pool_row(l, levels, y, to);
        }
    }
    if (l->flips != NULL) {
        flip(l, to);
    }
}

/* The output map of the input. */
void run(network *n) {
    const uint8_t *from = n->input;
    int32_t i, cell_bytes = n->layers[0].groups * 4;
    for (i = 0; i < n->count; i++) {
        const layer *l = &n->layers[i];
        run_layer(n, l, from, cell_bytes, n->maps[i % 2]);
        from = n->maps[i % 2];
        cell_bytes = l->blocks * 16;
    }
}

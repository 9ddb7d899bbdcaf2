/* ------------------------------------------------------------------------------------------------------------------
 * Maps. A row of a ring is lines of one byte a column, with the padding's columns at both ends. A line holds a group of
 * four channels in two bits each, or, for levels of 3 and 4 bits, two channels in four bits each; of the image, one
 * channel. Rows of pooling windows are the same without the padding. The maximum over a window is taken of the levels,
 * before a flip turns them round.
 */

/* The image has a plane for each channel. */
static uint32_t ring_row_bytes(const layer *l, int i, int32_t width) {
    const uint32_t columns = (uint32_t)(width + 2 * l->padding);
    return columns * (uint32_t)(i == 0 ? NETWORK_CHANNELS : lines_of(l->channels, l->in_bits));
}

static size_t ring_bytes(const layer *l, int i, int32_t width) {
    return (size_t)ring_row_bytes(l, i, width) * (size_t)l->size;
}

static void clear_ring(stream *s, int i) {
    memset(at(s, s->stages[i].ring), 0, ring_bytes(&layers[i], i, s->stages[i].width));
}

static void take_row(stream *s, const uint8_t *row) {
    const stage *g = &s->stages[0];
    const int32_t width = g->width, pitch = width + 2 * layers[0].padding;
    uint8_t *to = (uint8_t *)at(s, g->ring + (uint32_t)(g->received % layers[0].size) * g->ring_row) + layers[0].padding;
    split_row(row, to, pitch, width);
}

static int32_t rows_kept(const layer *l) {
    return open_rows(l);
}

static uint32_t open_row_bytes(const layer *l, int32_t columns, int32_t out_width) {
    (void)columns;
    return (uint32_t)out_width * (uint32_t)lines_of(l->filters, l->bits);
}

/* The row of a ring that holds row y of the input map; NULL where that is padding. */
static const uint8_t *ring_row(stream *s, int i, int32_t y) {
    const stage *g = &s->stages[i];
    return y < 0 || y >= g->height ? NULL : (const uint8_t *)at(s, g->ring + (uint32_t)(y % layers[i].size) * g->ring_row);
}

/* A line of the row that layer i makes, in the ring of the next layer; its first column behind the padding. */
static uint8_t *to_ring(stream *s, int i, int32_t line) {
    const stage *next = &s->stages[i + 1];
    const int32_t padding = layers[i + 1].padding, pitch = next->width + 2 * padding;
    const uint32_t row = (uint32_t)(next->received % layers[i + 1].size) * next->ring_row;
    return (uint8_t *)at(s, next->ring + row) + line * pitch + padding;
}

/* Cells that are worked on: for each word the place of its first one, in bytes from the first one of a row. */
typedef struct {
    int32_t at[WORDS];
    int32_t step, count; /* bytes from cell to cell, and cells of a word */
    int whole;           /* of the image: whether the bytes of every tap stand side by side in the row */
} place;

/* Bytes at from, from + step, ...: that of cell c becomes byte c of the word. */
INLINE word load_word(const uint8_t *from, int32_t step, int32_t count) {
    word bytes = 0;
    int32_t c;
#if LITTLE_ENDIAN_BYTES
    if (step == 1 && count == CELLS) {
        memcpy(&bytes, from, CELLS);
        return bytes;
    }
#endif
    for (c = 0; c < count; c++) {
        bytes |= (word)from[c * step] << (8 * c);
    }
    return bytes;
}

/* Bytes of the even cells, at from, from + 2 step, ..., as far as `left` columns go: 16 bits each. */
INLINE word load_even_word(const uint8_t *from, int32_t step, int32_t left, int whole) {
    word fields = 0;
    int32_t c;
    if (whole) { /* the last byte, an odd cell's, may lie behind the row: there is more of the arena */
        memcpy(&fields, from, CELLS);
        return fields & EVEN;
    }
    for (c = 0; c < CELLS / 2 && 2 * c * step < left; c++) {
        fields |= (word)from[2 * c * step] << (16 * c);
    }
    return fields;
}

/* Those of all words at work. */
INLINE entry load(const place *from, const uint8_t *row) {
#if WORDS == 2
    const entry both = {load_word(row + from->at[0], from->step, from->count),
                        load_word(row + from->at[1], from->step, from->count)};
    return both;
#else
    return load_word(row + from->at[0], from->step, from->count);
#endif
}

INLINE entry load_even(const place *from, const uint8_t *row, int32_t left) {
    const int32_t step = from->step;
#if WORDS == 2
    const entry both = {load_even_word(row + from->at[0], step, left - from->at[0], from->whole),
                        load_even_word(row + from->at[1], step, left - from->at[1], from->whole)};
    return both;
#else
    return load_even_word(row + from->at[0], step, left - from->at[0], from->whole);
#endif
}

static void store(uint8_t *to, word bytes, int32_t count) {
    int32_t c;
#if LITTLE_ENDIAN_BYTES
    if (count == CELLS) {
        memcpy(to, &bytes, CELLS);
        return;
    }
#endif
    for (c = 0; c < count; c++) {
        to[c] = (uint8_t)(bytes >> (8 * c));
    }
}

/* Rows of pooling windows that begin with the row at work. */
static void open_pools(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    int32_t row;
    for (row = g->first_row; row <= g->last_row && open_rows(l) != 0; row++) {
        const int32_t top = row * l->pool_stride - l->pool_padding / 2;
        if (g->convolved == (top < 0 ? 0 : top)) {
            memset(at(s, g->open + (uint32_t)(row % open_rows(l)) * g->open_row), 0, g->open_row);
        }
    }
}

static uint8_t *open_line(stream *s, int i, int32_t row, int32_t line) {
    const stage *g = &s->stages[i];
    return (uint8_t *)at(s, g->open + (uint32_t)(row % open_rows(&layers[i])) * g->open_row) + line * g->out_width;
}

/* The columns of pooling windows that hold each of the cells at work. */
typedef struct {
    int32_t first[CELLS], last[CELLS];
} spans;

static void find_spans(const layer *l, int32_t out_width, int32_t x, int32_t count, spans *found) {
    int32_t c;
    for (c = 0; c < count; c++) {
        const int32_t place = x + c + l->pool_padding / 2, from = place - l->pool_size + 1;
        found->first[c] = from <= 0 ? 0 : (from + l->pool_stride - 1) / l->pool_stride;
        found->last[c] = smaller(place / l->pool_stride, out_width - 1);
    }
}

/* Bytes of the cells at work into the pooling windows that hold them. */
static void pool(stream *s, int i, int32_t line, const spans *columns, int32_t count, word bytes) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    int32_t row;
    for (row = g->first_row; row <= g->last_row; row++) {
        uint8_t *best = open_line(s, i, row, line);
        word left = bytes;
        int32_t c, column;
        for (c = 0; c < count; c++, left >>= 8) {
            for (column = columns->first[c]; column <= columns->last[c]; column++) {
                best[column] = (uint8_t)larger_levels(l->bits, best[column], left & 255);
            }
        }
    }
}

/* Whether the cells from column x on are whole windows of two. */
static int in_pairs(const layer *l, const stage *g, int32_t x, int32_t count) {
    return l->pool_size == 2 && l->pool_stride == 2 && l->pool_padding < 2 && x % 2 == 0 && (x + count) / 2 <= g->out_width;
}

/* The same of pairs that are pooled already, in the even bytes; one row of windows holds them. */
INLINE void pool_pairs(uint8_t *best, word bytes) {
#if LITTLE_ENDIAN_BYTES && CELLS == 8
    const word halves = (bytes | bytes >> 8) & 0x0000ffff0000ffffu;
    uint32_t four = (uint32_t)(halves | halves >> 16), there;
    memcpy(&there, best, sizeof there);
    four = (uint32_t)larger_levels(2, there, four);
    memcpy(best, &four, sizeof four);
#else
    int32_t c;
    for (c = 0; c < CELLS / 2; c++) {
        best[c] = (uint8_t)larger_levels(2, best[c], bytes >> (16 * c) & 255);
    }
#endif
}

/* A row of the output map into the ring of the next layer, if it is not there yet. */
static void emit_row(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    int32_t line, x;
    for (line = 0; line < lines_of(l->filters, l->bits) && !is_direct(l); line++) {
        const uint8_t *from = open_line(s, i, g->emitted, line);
        uint8_t *to = to_ring(s, i, line);
        for (x = 0; x < g->out_width; x++) {
            to[x] = from[x] ^ l->flips[line];
        }
    }
#ifdef NETWORK_TRACE
    for (x = 0; x < g->out_width; x++) {
        const int32_t in_a_line = levels_in_a_byte(l->bits);
        int32_t f;
        for (f = 0; f < l->filters; f++) {
            const int bytes = to_ring(s, i, f / in_a_line)[x];
            network_trace(i, (int)g->emitted, (int)x, (int)f, bytes >> (8 / in_a_line * (f % in_a_line)) & ((1 << l->bits) - 1));
        }
    }
#endif
}


/* ------------------------------------------------------------------------------------------------------------------
 * Sums by lookup in vectors. D, as in the portable form:
 *
 *     sum of sign * level = K B - D,     D = sum of (w ? K - q : q)
 *
 * Lanes are filters: the byte of a map that holds a group of channels chooses a table of 16 bytes, what the group gives
 * to D for each four bits of weights, and the weights of LANES filters look up in it. Bytes are widened before they
 * overflow. In the first layer lanes are cells, and what three channels of a pixel give to D for each of their eight
 * weights is made once for all windows that the pixel is in.
 *
 * Maps: a row is columns, one behind the other, the padding's too; a column is a byte for each group of four channels
 * in two bits each, or, for levels of 3 and 4 bits, of two channels in four bits each. A row of the image is what it
 * gives, in the order (group of channels, weights, column), 16 bits each; one of zeros stands behind them, and behind
 * that the pixels of one row as planes. Behind the rows of pooling windows, which are pooled down the columns only,
 * there is the row at work.
 */
#define BLOCK 32 /* filters of a block of weights */
#define HALF (LANES / 2)
#define TRIPLES ((NETWORK_CHANNELS + 2) / 3)

/* Columns of a row of the image, filled up so that a vector may begin in each of them. */
static int32_t image_pitch(const layer *l, int32_t width) {
    return (width + 2 * l->padding + 2 * HALF - 1) / HALF * HALF;
}

static uint32_t ring_row_bytes(const layer *l, int i, int32_t width) {
    return (uint32_t)(i == 0 ? image_pitch(l, width) * TRIPLES * 8 * 2
                             : (width + 2 * l->padding) * lines_of(l->channels, l->in_bits));
}

static size_t ring_bytes(const layer *l, int i, int32_t width) {
    const size_t planes = i == 0 ? (size_t)image_pitch(l, width) * NETWORK_CHANNELS : 0;
    return (size_t)ring_row_bytes(l, i, width) * (size_t)(l->size + (i == 0)) + planes;
}

/* Those of pooling windows, and the row at work. */
static int32_t rows_kept(const layer *l) {
    return l->bits == 0 ? 0 : open_rows(l) + 1;
}

static uint32_t open_row_bytes(const layer *l, int32_t columns, int32_t out_width) {
    (void)out_width;
    return (uint32_t)(columns * lines_of(l->filters, l->bits));
}

static uint8_t *open_row(stream *s, int i, int32_t row) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    return at(s, g->open + (uint32_t)(row < 0 ? open_rows(l) : row % open_rows(l)) * g->open_row);
}

static const uint8_t zeros[ZEROS];

/* The row of a ring that holds row y of the input map; zeros where that is padding. */
static const uint8_t *ring_row(stream *s, int i, int32_t y) {
    const stage *g = &s->stages[i];
    const int32_t size = layers[i].size, row = y < 0 || y >= g->height ? size : y % size;
    return row == size && i != 0 ? zeros : (const uint8_t *)at(s, g->ring + (uint32_t)row * g->ring_row);
}

/* The levels of HALF filters or cells from their D, in 16 bits each. */
INLINE vec levels_of(vec d, const vec *limits, int32_t n) {
    vec passed = V_LESS16(d, limits[0]);
    int32_t i;
    if (n == 3) {
        passed = V_ADD16(passed, V_ADD16(V_LESS16(d, limits[1]), V_LESS16(d, limits[2])));
        return V_SUB16(V_SET16(0), passed);
    }
    for (i = 1; i < n; i++) {
        passed = V_ADD16(passed, V_LESS16(d, limits[i]));
    }
    return V_SUB16(V_SET16(0), passed);
}

/* What HALF columns of up to three channels give to D for each of their weights. */
INLINE void fill_image(uint8_t *table, size_t pitch, const uint8_t *pixels, int32_t channels) {
    const vec top = V_SET16(255), none = V_SET16(0);
    const vec v0 = V_BYTES(pixels), v1 = channels > 1 ? V_BYTES(pixels + pitch) : none;
    const vec v2 = channels > 2 ? V_BYTES(pixels + 2 * pitch) : none;
    const vec n0 = V_XOR(v0, top), n1 = V_XOR(v1, top), n2 = V_XOR(v2, top);
    const vec both = V_ADD16(v0, v1), first = V_ADD16(n0, v1), second = V_ADD16(v0, n1), neither = V_ADD16(n0, n1);
    V_STORE(table, V_ADD16(both, v2));
    V_STORE(table + 2 * pitch, V_ADD16(first, v2));
    V_STORE(table + 4 * pitch, V_ADD16(second, v2));
    V_STORE(table + 6 * pitch, V_ADD16(neither, v2));
    V_STORE(table + 8 * pitch, V_ADD16(both, n2));
    V_STORE(table + 10 * pitch, V_ADD16(first, n2));
    V_STORE(table + 12 * pitch, V_ADD16(second, n2));
    V_STORE(table + 14 * pitch, V_ADD16(neither, n2));
}

static uint8_t *image_planes(stream *s) {
    const stage *g = &s->stages[0];
    return at(s, g->ring + (uint32_t)(layers[0].size + 1) * g->ring_row);
}

/* The row of the image that stands in the planes into a row of the ring. */
static void fill_row(stream *s, int32_t row) {
    const stage *g = &s->stages[0];
    const size_t pitch = (size_t)image_pitch(&layers[0], g->width);
    const uint8_t *planes = image_planes(s);
    uint8_t *table = at(s, g->ring + (uint32_t)row * g->ring_row);
    int32_t channel;
    size_t x;
    for (channel = 0; channel < NETWORK_CHANNELS; channel += 3, planes += 3 * pitch, table += 16 * pitch) {
        for (x = 0; x < pitch; x += HALF) {
            fill_image(table + 2 * x, pitch, planes + x, NETWORK_CHANNELS - channel);
        }
    }
}

static void take_row(stream *s, const uint8_t *row) {
    const stage *g = &s->stages[0];
    split_row(row, image_planes(s) + layers[0].padding, image_pitch(&layers[0], g->width), g->width);
    fill_row(s, g->received % layers[0].size);
}

static void clear_ring(stream *s, int i) {
    memset(at(s, s->stages[i].ring), 0, ring_bytes(&layers[i], i, s->stages[i].width));
    if (i == 0) {
        fill_row(s, layers[0].size);
    }
}

/* `count` 16-bit numbers, `stride` apart. */
INLINE vec pick(const uint8_t *from, int32_t stride, int32_t count) {
    if (stride != 1) {
        uint16_t picked[HALF] = {0};
        int32_t c;
        for (c = 0; c < count; c++) {
            memcpy(&picked[c], from + 2 * c * stride, 2);
        }
        return V_LOAD((const uint8_t *)picked);
    }
    return V_LOAD(from);
}

/* What three neighbouring cells of a window give to D. */
INLINE vec three_of(const uint8_t *from, size_t pitch, const uint8_t *w) {
    const vec first = V_LOAD(from + 2 * pitch * w[0]), second = V_LOAD(from + 2 * pitch * w[1] + 2);
    return V_ADD16(V_ADD16(first, second), V_LOAD(from + 2 * pitch * w[2] + 4));
}

/* D of a filter for HALF cells of the first layer; `start` is the place of the first one in a row. */
INLINE vec image_sum(const uint8_t *const *rows, const uint8_t *w, size_t start, size_t pitch, int32_t count) {
    const layer *l = &layers[0];
    vec d = V_SET16(0);
    int32_t row, column, group;
    for (row = 0; row < l->size; row++) {
        const uint8_t *from = rows[row] + 2 * start;
        column = 0;
        if (l->stride == 1 && TRIPLES == 1) {
            for (; column + 3 <= l->size; column += 3, from += 6, w += 3) {
                d = V_ADD16(d, three_of(from, pitch, w));
            }
        }
        for (; column < l->size; column++, from += 2) {
            for (group = 0; group < TRIPLES; group++, w++) {
                d = V_ADD16(d, pick(from + 2 * pitch * ((size_t)group * 8 + *w), l->stride, count));
            }
        }
    }
    return d;
}

/* Bytes of a line of HALF cells, in 16 bits each, and those of the next line if there is one. */
static void store_lines(uint8_t *to, int32_t lines, int32_t count, int both, vec bytes) {
    uint16_t cells[HALF];
    int32_t c;
    if (both && lines == 2 && count == HALF) {
        V_STORE(to, bytes);
        return;
    }
    V_STORE((uint8_t *)cells, bytes);
    for (c = 0; c < count; c++, to += lines) {
        to[0] = (uint8_t)cells[c];
        if (both) {
            to[1] = (uint8_t)(cells[c] >> 8);
        }
    }
}

/* The levels of a filter of HALF cells. */
INLINE vec image_levels(int32_t f, vec d) {
    const layer *l = &layers[0];
    const int32_t n = (1 << l->bits) - 1;
    const uint16_t *of = l->narrow + f * n;
    vec limits[15];
    int32_t i;
    limits[0] = V_SET16(of[0]);
    limits[1] = V_SET16(of[n > 1]);
    limits[2] = V_SET16(of[n > 2 ? 2 : 0]);
    for (i = 3; i < n; i++) {
        limits[i] = V_SET16(of[i]);
    }
    return levels_of(d, limits, n);
}

/* What is made of D of one filter and HALF cells: values of the output map. */
static void write_cells(stream *s, int i, int32_t f, int32_t x, int32_t count, vec d) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const size_t row = (size_t)f * (size_t)g->rows + (size_t)g->convolved;
    uint16_t sums[HALF];
    int32_t c;
    V_STORE((uint8_t *)sums, d);
    for (c = 0; c < count; c++) {
        s->output.pointer[row * (size_t)g->columns + (size_t)(x + c)] = l->multipliers[f] * (l->base[f] - sums[c]) + l->biases[f];
    }
}

/* A row of the first layer. */
static void convolve_image(stream *s, const uint8_t *const *rows) {
    const layer *l = &layers[0];
    const stage *g = &s->stages[0];
    const int32_t lines = lines_of(l->filters, l->bits), a_byte = levels_in_a_byte(l->bits);
    const int32_t count = smaller(HALF, g->columns), taps = l->size * l->size * TRIPLES;
    const size_t pitch = (size_t)image_pitch(l, g->width);
    int32_t x = 0, f, line;
    for (;;) {
        const size_t start = (size_t)(x * l->stride);
        vec bytes = V_SET16(0), before = V_SET16(0);
        for (f = 0; f < l->filters && l->bits == 0; f++) {
            write_cells(s, 0, f, x, count, image_sum(rows, l->weights + f * taps, start, pitch, count));
        }
        for (line = 0; line < lines && l->bits != 0; line++) {
            bytes = V_SET16(0);
            for (f = smaller((line + 1) * a_byte, l->filters) - 1; f >= line * a_byte; f--) {
                bytes = a_byte == 4 ? V_LEFT16(bytes, 2) : V_LEFT16(bytes, 4);
                bytes = V_OR(bytes, image_levels(f, image_sum(rows, l->weights + f * taps, start, pitch, count)));
            }
            if (line % 2 == 1) {
                bytes = V_OR(before, V_LEFT16(bytes, 8));
                store_lines(open_row(s, 0, -1) + x * lines + line - 1, lines, count, 1, bytes);
            } else if (line + 1 == lines) {
                store_lines(open_row(s, 0, -1) + x * lines + line, lines, count, 0, bytes);
            }
            before = bytes;
        }
        if (x + count == g->columns) {
            return;
        }
        x = smaller(x + count, g->columns - count);
    }
}

/* The window of four cells, `across` bytes apart, or of one. */
typedef struct {
    const uint8_t *rows[LARGEST_SIZE]; /* of the first cell */
    int32_t across[LARGEST_SIZE];
} window;

/* Add a group of a cell to D, in bytes, of LANES filters, and of LANES more. */
#define ADD_GROUP(q, d, of_d, e, of_e)                                \
    do {                                                              \
        const vec table = V_TABLE(tables + 16 * (size_t)(q));                 \
        d = V_ADD8(d, V_LOOK(table, of_d));                           \
        e = twice ? V_ADD8(e, V_LOOK(table, of_e)) : (e);             \
    } while (0)
/* The same for each of the cells. */
#define ADD_GROUPS(k, of_d, of_e)               \
    do {                                        \
        ADD_GROUP(q0[k], d0, of_d, e0, of_e);   \
        ADD_GROUP(q1[k], d1, of_d, e1, of_e);   \
        ADD_GROUP(q2[k], d2, of_d, e2, of_e);   \
        ADD_GROUP(q3[k], d3, of_d, e3, of_e);   \
    } while (0)
/* Bytes to the sums of the even lanes and of the odd ones. */
#define WIDEN(sums, d) \
    ((sums)[0] = V_ADD16((sums)[0], V_AND(d, V_SET16(255))), (sums)[1] = V_ADD16((sums)[1], V_RIGHT16(d, 8)), d = none)

/* D of LANES filters for four cells and, if it is to be done twice, of LANES more whose weights are `second` bytes behind.
 * The sums are those of the even lanes and of the odd ones, for each cell. */
INLINE void sum_cells(const layer *l, const window *from, const uint8_t *w, int twice, int32_t second, vec *sums) {
    const int32_t groups = l->size * lines_of(l->channels, l->in_bits), chunk = l->chunk;
    const uint8_t *tables = l->tables;
    const vec nibble = V_SET16(0x0f0f), none = V_SET16(0);
    vec d0 = none, d1 = none, d2 = none, d3 = none, e0 = none, e1 = none, e2 = none, e3 = none;
    int32_t row, left, room = chunk;
    sums[0] = sums[1] = sums[2] = sums[3] = sums[4] = sums[5] = sums[6] = sums[7] = none;
    if (twice) {
        sums[8] = sums[9] = sums[10] = sums[11] = sums[12] = sums[13] = sums[14] = sums[15] = none;
    }
    for (row = 0; row < l->size; row++) {
        const int32_t across = from->across[row];
        const uint8_t *q0 = from->rows[row], *q1 = q0 + across, *q2 = q1 + across, *q3 = q2 + across;
        for (left = groups; left > 0;) {
            int32_t n = smaller(room, left / 2);
            room -= n;
            left -= 2 * n;
            for (; n > 0; n--, w += BLOCK, q0 += 2, q1 += 2, q2 += 2, q3 += 2) {
                const vec both = V_LOAD(w), more = twice ? V_LOAD(w + second) : none;
                vec of_d = V_AND(both, nibble), of_e = V_AND(more, nibble);
                ADD_GROUPS(0, of_d, of_e);
                of_d = V_AND(V_RIGHT16(both, 4), nibble);
                of_e = V_AND(V_RIGHT16(more, 4), nibble);
                ADD_GROUPS(1, of_d, of_e);
            }
            if (left == 1 && room > 0) {
                const vec low = V_AND(V_LOAD(w), nibble), more_low = twice ? V_AND(V_LOAD(w + second), nibble) : none;
                ADD_GROUPS(0, low, more_low);
                w += BLOCK;
                room--;
                left = 0;
            }
            if (room == 0 || (left == 0 && row + 1 == l->size)) {
                WIDEN(sums, d0);
                WIDEN(sums + 2, d1);
                WIDEN(sums + 4, d2);
                WIDEN(sums + 6, d3);
                if (twice) {
                    WIDEN(sums + 8, e0);
                    WIDEN(sums + 10, e1);
                    WIDEN(sums + 12, e2);
                    WIDEN(sums + 14, e3);
                }
                room = chunk;
            }
        }
    }
}

static void sum_four(const layer *l, const window *from, const uint8_t *w, vec *sums) {
    sum_cells(l, from, w, 0, 0, sums);
}

static void sum_eight(const layer *l, const window *from, const uint8_t *w, int32_t second, vec *sums) {
    sum_cells(l, from, w, 1, second, sums);
}

/* The same for one cell. */
static void sum_one(const layer *l, const window *from, const uint8_t *w, vec *sums) {
    const int32_t groups = l->size * lines_of(l->channels, l->in_bits), chunk = l->chunk;
    const uint8_t *tables = l->tables;
    const vec nibble = V_SET16(0x0f0f), none = V_SET16(0);
    vec d = none;
    int32_t row, left, room = chunk;
    sums[0] = sums[1] = none;
    for (row = 0; row < l->size; row++) {
        const uint8_t *q = from->rows[row];
        for (left = groups; left > 0; left -= 2, w += BLOCK, q += 2) {
            const vec both = V_LOAD(w), low = V_AND(both, nibble), high = V_AND(V_RIGHT16(both, 4), nibble);
            d = V_ADD8(d, V_LOOK(V_TABLE(tables + 16 * (size_t)q[0]), low));
            if (left > 1) {
                d = V_ADD8(d, V_LOOK(V_TABLE(tables + 16 * (size_t)q[1]), high));
            }
            if (--room == 0) {
                WIDEN(sums, d);
                room = chunk;
            }
        }
    }
    WIDEN(sums, d);
}

/* The levels of LANES filters of a cell from D, as bytes of the map. */
INLINE void pack(const layer *l, const vec *sums, const vec *limits, int32_t bytes, uint8_t *to) {
    const int32_t n = (1 << l->bits) - 1;
    const vec even = levels_of(sums[0], limits, n), odd = levels_of(sums[1], limits + 15, n);
    uint8_t all[LANES];
    int32_t i;
    if (l->bits <= 2) {
        const vec pairs = V_OR(even, V_LEFT16(odd, 2)), fours = V_OR(pairs, V_RIGHT32(pairs, 12));
        if (bytes == LANES / 4) {
            store_firsts(to, fours);
            return;
        }
        store_firsts(all, fours);
        for (i = 0; i < bytes; i++) {
            to[i] = all[i];
        }
    } else {
        V_STORE(all, V_OR(even, V_LEFT16(odd, 4)));
        for (i = 0; i < bytes; i++) {
            to[i] = all[2 * i];
        }
    }
}

/* The limits of LANES filters: those of the even ones, and behind the 15th vector those of the odd ones. */
static void load_limits(const layer *l, int32_t f, vec *limits) {
    const int32_t n = (1 << l->bits) - 1;
    int32_t i, j;
    for (i = 0; i < n; i++) {
        uint16_t split[2][HALF] = {{0}};
        for (j = 0; j < smaller(LANES, l->filters - f); j++) {
            split[j % 2][j / 2] = l->narrow[(f + j) * n + i];
        }
        limits[i] = V_LOAD((const uint8_t *)split[0]);
        limits[15 + i] = V_LOAD((const uint8_t *)split[1]);
    }
}

/* Values of the output map of LANES filters of a cell. */
static void write_filters(stream *s, int i, int32_t f, int32_t x, const vec *sums) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const size_t plane = (size_t)g->rows * (size_t)g->columns;
    int32_t *to = s->output.pointer + (size_t)f * plane + (size_t)g->convolved * (size_t)g->columns + (size_t)x;
    uint16_t split[2][HALF];
    int32_t j;
    V_STORE((uint8_t *)split[0], sums[0]);
    V_STORE((uint8_t *)split[1], sums[1]);
    for (j = 0; j < smaller(LANES, l->filters - f); j++, to += plane) {
        *to = l->multipliers[f + j] * (l->base[f + j] - split[j % 2][j / 2]) + l->biases[f + j];
    }
}

/* What becomes of D of LANES filters of some cells. */
static void finish(stream *s, int i, int32_t f, int32_t x, int32_t cells, const vec *sums, const vec *limits) {
    const layer *l = &layers[i];
    const int32_t lines = lines_of(l->filters, l->bits), a_byte = levels_in_a_byte(l->bits), first = f / a_byte;
    int32_t c;
    if (l->bits == 0) {
        for (c = 0; c < cells; c++) {
            write_filters(s, i, f, x + c, sums + 2 * c);
        }
    } else {
        uint8_t *to = open_row(s, i, -1) + x * lines + first;
        for (c = 0; c < cells; c++, to += lines) {
            pack(l, sums + 2 * c, limits, smaller(LANES / a_byte, lines - first), to);
        }
    }
}

/* LANES filters, or twice as many, of a row of another layer. */
static void convolve_filters(stream *s, int i, const uint8_t *const *rows, int32_t f) {
    const layer *l = &layers[i];
    const int32_t columns = s->stages[i].columns, in_lines = lines_of(l->channels, l->in_bits);
    const int32_t block = BLOCK * l->size * ((l->size * in_lines + 1) / 2);
    const uint8_t *w = l->weights + f / BLOCK * block + f % BLOCK;
    const uint8_t *more = l->weights + (f + LANES) / BLOCK * block + (f + LANES) % BLOCK;
    const int twice = f + LANES < l->filters;
    vec limits[2][30], sums[16];
    window from;
    int32_t x, row, cells;
    if (l->bits != 0) {
        load_limits(l, f, limits[0]);
        load_limits(l, f + LANES, limits[1]);
    }
    for (x = 0; x < columns; x += cells) {
        cells = columns - x >= 4 ? 4 : 1;
        for (row = 0; row < l->size; row++) {
            from.across[row] = rows[row] == zeros ? 0 : l->stride * in_lines;
            from.rows[row] = rows[row] + x * from.across[row];
        }
        if (cells == 4 && twice) {
            sum_eight(l, &from, w, (int32_t)(more - w), sums);
        } else if (cells == 4) {
            sum_four(l, &from, w, sums);
        } else {
            sum_one(l, &from, w, sums);
            if (twice) {
                sum_one(l, &from, more, sums + 8);
            }
        }
        finish(s, i, f, x, cells, sums, limits[0]);
        if (twice) {
            finish(s, i, f + LANES, x, cells, sums + 8, limits[1]);
        }
    }
}

/* Levels of `count` bytes: to = the larger ones of to and from. */
static void larger_all(int bits, uint8_t *to, const uint8_t *from, int32_t count) {
    word a, b;
    for (; count >= (int32_t)sizeof a; count -= (int32_t)sizeof a, to += sizeof a, from += sizeof a) {
        memcpy(&a, to, sizeof a);
        memcpy(&b, from, sizeof b);
        a = larger_levels(bits, a, b);
        memcpy(to, &a, sizeof a);
    }
    for (; count > 0; count--, to++, from++) {
        *to = (uint8_t)larger_levels(bits, *to, *from);
    }
}

static void pool_down(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const int32_t bytes = g->columns * lines_of(l->filters, l->bits);
    int32_t row;
    for (row = g->first_row; row <= g->last_row; row++) {
        const int32_t top = row * l->pool_stride - l->pool_padding / 2;
        if (g->convolved == (top < 0 ? 0 : top)) {
            memcpy(open_row(s, i, row), open_row(s, i, -1), (size_t)bytes);
        } else {
            larger_all(l->bits, open_row(s, i, row), open_row(s, i, -1), bytes);
        }
    }
}

static void convolve_row(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const uint8_t *rows[LARGEST_SIZE];
    int32_t row, f;
    for (row = 0; row < l->size; row++) {
        rows[row] = ring_row(s, i, g->convolved * l->stride - l->padding + row);
    }
    if (i == 0) {
        convolve_image(s, rows);
    } else {
        for (f = 0; f < l->filters; f += 2 * LANES) {
            convolve_filters(s, i, rows, f);
        }
    }
    if (open_rows(l) != 0) {
        pool_down(s, i);
    }
}

/* Windows of two columns, of `lines` bytes each, as long as a whole word of them is there; returns how many. */
INLINE int32_t pool_words(const layer *l, int32_t pairs, const uint8_t *from, uint8_t *to, size_t lines) {
    const int32_t in_a_word = (int32_t)(sizeof(word) / (2 * lines));
    word flip = 0;
    int32_t x, i;
    memcpy(&flip, l->flips, lines);
    for (x = 0; in_a_word != 0 && x + in_a_word <= pairs; x += in_a_word, from += sizeof(word)) {
        word best;
        memcpy(&best, from, sizeof best);
        best = larger_levels(l->bits, best, best >> (8 * lines % (8 * sizeof(word))));
        for (i = 0; i < in_a_word; i++, to += lines) {
            const word one = (best >> (16 * lines * (size_t)i)) ^ flip;
            memcpy(to, &one, lines);
        }
    }
    return x;
}

/* `step` bytes, 1, 2, 4 or 8 where a word has so many, of each column of the pooled row, with their flips. */
INLINE void pool_across(const layer *l, const stage *g, const uint8_t *from, uint8_t *to, size_t step) {
    const int32_t lines = lines_of(l->filters, l->bits);
    int32_t x = 0, line;
    size_t column;
    if (lines == (int32_t)step && l->pool_size == 2 && l->pool_stride == 2 && l->pool_padding < 2) {
        x = pool_words(l, g->columns / 2, from, to, step);
    }
    for (to += x * lines; x < g->out_width; x++, to += lines) {
        const int32_t left = x * l->pool_stride - l->pool_padding / 2;
        const size_t first = (size_t)(left < 0 ? 0 : left), last = (size_t)smaller(left + l->pool_size, g->columns);
        for (line = 0; line < lines; line += (int32_t)step) {
            const uint8_t *levels = from + first * (size_t)lines + line;
            word best = 0, flip = 0;
            memcpy(&flip, l->flips + line, step);
            memcpy(&best, levels, step);
            for (column = first + 1; column < last; column++) {
                word other = 0;
                levels += lines;
                memcpy(&other, levels, step);
                best = larger_levels(l->bits, best, other);
            }
            best ^= flip;
            memcpy(to + line, &best, step);
        }
    }
}

/* A row of the output map into the ring of the next layer. */
static void emit_row(stream *s, int i) {
    const layer *l = &layers[i], *after = &layers[i + 1];
    const stage *g = &s->stages[i], *next = &s->stages[i + 1];
    const int32_t lines = lines_of(l->filters, l->bits);
    const uint8_t *from = open_row(s, i, is_direct(l) ? -1 : g->emitted);
    uint8_t *to = at(s, next->ring + (uint32_t)(next->received % after->size) * next->ring_row);
    to += after->padding * lines;
    if (lines % (int32_t)sizeof(word) == 0) {
        pool_across(l, g, from, to, sizeof(word));
    } else if (lines % 4 == 0) {
        pool_across(l, g, from, to, 4);
    } else if (lines % 2 == 0) {
        pool_across(l, g, from, to, 2);
    } else {
        pool_across(l, g, from, to, 1);
    }
#ifdef NETWORK_TRACE
    {
        const int32_t a_byte = levels_in_a_byte(l->bits), bits = 8 / a_byte;
        int32_t x, f;
        for (x = 0; x < g->out_width; x++) {
            for (f = 0; f < l->filters; f++) {
                const int bytes = to[x * lines + f / a_byte];
                network_trace(i, (int)g->emitted, (int)x, (int)f, bytes >> (bits * (f % a_byte)) & ((1 << l->bits) - 1));
            }
        }
    }
#endif
}

/* ------------------------------------------------------------------------------------------------------------------
 * Sums by lookup in vectors. D, as in the portable form:
 *
 *     sum of sign * level = K B - D,     D = sum of (w ? K - q : q)
 *
 * Lanes are filters: the byte of a map that holds a group of channels chooses a table of 16 bytes, what the group gives
 * to D for each four bits of weights, and the weights of LANES filters look up in it. Bytes are widened before they
 * overflow. In the first layer lanes are cells, and a table has a vector for each three bits of weights.
 *
 * Maps: a row is columns, one behind the other, the padding's too; a column is a byte for each group of four channels in
 * two bits each, or, for levels of 3 and 4 bits, of two channels in four bits each. Rows of the image are planes. Behind
 * the rows of pooling windows, which are pooled down the columns only, there is the row at work.
 */
#define BLOCK 32 /* filters of a block of weights */
#define HALF (LANES / 2)

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
    return y < 0 || y >= g->height ? zeros
                                   : (const uint8_t *)at(s, g->ring + (uint32_t)(y % layers[i].size) * g->ring_row);
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

/* The first layer's tables: for each tap and three channels what they give to D of HALF cells, for 3 bits of weights. */
INLINE void fill_image(uint8_t *table, const uint8_t *pixels, int32_t pitch, int32_t channels) {
    const vec top = V_SET16(255), none = V_SET16(0);
    const vec v0 = V_BYTES(pixels), v1 = channels > 1 ? V_BYTES(pixels + pitch) : none;
    const vec v2 = channels > 2 ? V_BYTES(pixels + 2 * pitch) : none;
    const vec n0 = V_XOR(v0, top), n1 = V_XOR(v1, top), n2 = V_XOR(v2, top);
    const vec both = V_ADD16(v0, v1), first = V_ADD16(n0, v1), second = V_ADD16(v0, n1), neither = V_ADD16(n0, n1);
    V_STORE(table, V_ADD16(both, v2));
    V_STORE(table + LANES, V_ADD16(first, v2));
    V_STORE(table + 2 * LANES, V_ADD16(second, v2));
    V_STORE(table + 3 * LANES, V_ADD16(neither, v2));
    V_STORE(table + 4 * LANES, V_ADD16(both, n2));
    V_STORE(table + 5 * LANES, V_ADD16(first, n2));
    V_STORE(table + 6 * LANES, V_ADD16(second, n2));
    V_STORE(table + 7 * LANES, V_ADD16(neither, n2));
}

/* The tables of the cells from column x on; returns how many there are. */
static int32_t fill_images(const stage *g, const uint8_t *const *rows, int32_t x, uint8_t *tables) {
    const layer *l = &layers[0];
    const int32_t pitch = g->width + 2 * l->padding, count = smaller(HALF, g->columns);
    const int copied = l->stride != 1 || count < HALF; /* where no vector of the row holds the cells */
    uint8_t copies[3 * HALF] = {0};
    int32_t row, column, channel, c, cell, n = 0;
    for (row = 0; row < l->size; row++) {
        for (column = 0; column < l->size; column++) {
            for (channel = 0; channel < NETWORK_CHANNELS; channel += 3, n++) {
                const int32_t here = smaller(3, NETWORK_CHANNELS - channel);
                const uint8_t *pixels = rows[row] + channel * pitch + x * l->stride + column;
                if (rows[row] == zeros) {
                    fill_image(tables + n * 8 * LANES, zeros, 0, here);
                } else if (!copied) {
                    fill_image(tables + n * 8 * LANES, pixels, pitch, here);
                } else {
                    for (c = 0; c < here; c++) {
                        for (cell = 0; cell < count; cell++) {
                            copies[c * HALF + cell] = pixels[c * pitch + cell * l->stride];
                        }
                    }
                    fill_image(tables + n * 8 * LANES, copies, HALF, here);
                }
            }
        }
    }
    return n;
}

/* D of a filter for HALF cells of the first layer. */
INLINE vec image_sum(const uint8_t *tables, const uint8_t *w, int32_t n) {
    vec d = V_SET16(0);
    for (; n >= 3; n -= 3, w += 3, tables += 24 * LANES) {
        const vec first = V_ADD16(d, V_LOAD(tables + LANES * (size_t)w[0]));
        d = V_ADD16(first, V_ADD16(V_LOAD(tables + LANES * (8 + (size_t)w[1])), V_LOAD(tables + LANES * (16 + (size_t)w[2]))));
    }
    for (; n > 0; n--, w++, tables += 8 * LANES) {
        d = V_ADD16(d, V_LOAD(tables + LANES * (size_t)w[0]));
    }
    return d;
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
    const int32_t n = (1 << l->bits) - 1, lines = lines_of(l->filters, l->bits), a_byte = levels_in_a_byte(l->bits);
    const int32_t count = smaller(HALF, g->columns);
    uint8_t *tables = at(s, s->scratch);
    int32_t x = 0, f, c, line, i;
    for (;;) {
        const int32_t taps = fill_images(g, rows, x, tables);
        if (l->bits == 0) {
            for (f = 0; f < l->filters; f++) {
                write_cells(s, 0, f, x, count, image_sum(tables, l->weights + f * taps, taps));
            }
        }
        for (line = 0; line < lines && l->bits != 0; line++) {
            vec bytes = V_SET16(0), limits[15];
            uint16_t cells[HALF];
            uint8_t *to = open_row(s, 0, -1) + x * lines + line;
            for (f = smaller((line + 1) * a_byte, l->filters) - 1; f >= line * a_byte; f--) {
                const uint16_t *of = l->narrow + f * n;
                limits[0] = V_SET16(of[0]);
                limits[1] = V_SET16(of[n > 1]);
                limits[2] = V_SET16(of[n > 2 ? 2 : 0]);
                for (i = 3; i < n; i++) {
                    limits[i] = V_SET16(of[i]);
                }
                bytes = a_byte == 4 ? V_LEFT16(bytes, 2) : V_LEFT16(bytes, 4);
                bytes = V_OR(bytes, levels_of(image_sum(tables, l->weights + f * taps, taps), limits, n));
            }
            V_STORE((uint8_t *)cells, bytes);
            for (c = 0; c < count; c++, to += lines) {
                *to = (uint8_t)cells[c];
            }
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
        e = second != 0 ? V_ADD8(e, V_LOOK(table, of_e)) : (e);       \
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

/* D of LANES filters for four cells, and of LANES more whose weights are `second` bytes behind, if that is not 0. The sums
 * are those of the even lanes and of the odd ones, for each cell. */
INLINE void sum_cells(const layer *l, const window *from, const uint8_t *w, int32_t second, vec *sums) {
    const int32_t groups = l->size * lines_of(l->channels, l->in_bits), chunk = l->chunk;
    const uint8_t *tables = l->tables;
    const vec nibble = V_SET16(0x0f0f), none = V_SET16(0);
    vec d0 = none, d1 = none, d2 = none, d3 = none, e0 = none, e1 = none, e2 = none, e3 = none;
    int32_t row, left, room = chunk;
    sums[0] = sums[1] = sums[2] = sums[3] = sums[4] = sums[5] = sums[6] = sums[7] = none;
    if (second != 0) {
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
                const vec both = V_LOAD(w), more = second != 0 ? V_LOAD(w + second) : none;
                vec of_d = V_AND(both, nibble), of_e = V_AND(more, nibble);
                ADD_GROUPS(0, of_d, of_e);
                of_d = V_AND(V_RIGHT16(both, 4), nibble);
                of_e = V_AND(V_RIGHT16(more, 4), nibble);
                ADD_GROUPS(1, of_d, of_e);
            }
            if (left == 1 && room > 0) {
                const vec low = V_AND(V_LOAD(w), nibble), more_low = second != 0 ? V_AND(V_LOAD(w + second), nibble) : none;
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
                if (second != 0) {
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
    sum_cells(l, from, w, 0, sums);
}

static void sum_eight(const layer *l, const window *from, const uint8_t *w, int32_t second, vec *sums) {
    sum_cells(l, from, w, second, sums);
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

/* `step` bytes, 1, 2, 4 or 8 where a word has so many, of each column of the pooled row, with their flips. */
INLINE void pool_across(const layer *l, const stage *g, const uint8_t *from, uint8_t *to, size_t step) {
    const int32_t lines = lines_of(l->filters, l->bits);
    int32_t x, line;
    size_t column;
    for (x = 0; x < g->out_width; x++, to += lines) {
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

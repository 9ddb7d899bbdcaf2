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

static uint32_t ring_row_bytes(const layer *l, int i, int32_t width) {
    const uint32_t columns = (uint32_t)(width + 2 * l->padding);
    return columns * (uint32_t)(i == 0 ? NETWORK_CHANNELS : lines_of(l->channels, l->in_bits));
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

static void take_row(stream *s, const uint8_t *row) {
    const stage *g = &s->stages[0];
    uint8_t *to = at(s, g->ring + (uint32_t)(g->received % layers[0].size) * g->ring_row);
    int32_t x, c;
    to += layers[0].padding;
    for (c = 0; c < NETWORK_CHANNELS; c++, to += g->width + 2 * layers[0].padding) {
        for (x = 0; x < g->width; x++) {
            to[x] = row[x * NETWORK_CHANNELS + c];
        }
    }
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
    for (i = 1; i < n; i++) {
        passed = V_ADD16(passed, V_LESS16(d, limits[i]));
    }
    return V_SUB16(V_SET16(0), passed);
}

/* The first layer's tables: for each tap and three channels what they give to D of HALF cells, for 3 bits of weights. */
static void fill_image(uint8_t *table, const uint8_t *const *pixels, int32_t channels) {
    const vec top = V_SET16(255), none = V_SET16(0);
    const vec v0 = V_BYTES(pixels[0]), v1 = channels > 1 ? V_BYTES(pixels[1]) : none;
    const vec v2 = channels > 2 ? V_BYTES(pixels[2]) : none;
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
    const int32_t pitch = g->width + 2 * l->padding;
    int32_t row, column, channel, c, cell, n = 0;
    for (row = 0; row < l->size; row++) {
        for (column = 0; column < l->size; column++) {
            for (channel = 0; channel < l->channels; channel += 3, n++) {
                const int32_t here = smaller(3, l->channels - channel);
                const uint8_t *pixels[3];
                uint8_t copies[3][HALF] = {{0}};
                for (c = 0; c < here; c++) {
                    const int32_t place = rows[row] == zeros ? 0 : (channel + c) * pitch + x * l->stride + column;
                    pixels[c] = rows[row] + place;
                    if (rows[row] != zeros && (l->stride != 1 || g->columns < HALF)) {
                        for (cell = 0; cell < smaller(HALF, g->columns); cell++) {
                            copies[c][cell] = pixels[c][cell * l->stride];
                        }
                        pixels[c] = copies[c];
                    }
                }
                fill_image(tables + n * 8 * LANES, pixels, here);
            }
        }
    }
    return n;
}

/* D of a filter for HALF cells of the first layer. */
INLINE vec image_sum(const uint8_t *tables, const uint8_t *w, int32_t n) {
    vec d = V_SET16(0);
    int32_t t;
    for (t = 0; t < n; t++, tables += 8 * LANES) {
        d = V_ADD16(d, V_LOAD(tables + LANES * w[t]));
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
                for (i = 0; i < n; i++) {
                    limits[i] = V_SET16(l->narrow[f * n + i]);
                }
                bytes = a_byte == 4 ? V_LEFT16(bytes, 2) : V_LEFT16(bytes, 4);
                bytes = V_OR(bytes, levels_of(image_sum(tables, l->weights + f * taps, taps), limits, n));
            }
            V_STORE((uint8_t *)cells, bytes);
            for (c = 0; c < count; c++) {
                to[c * lines] = (uint8_t)cells[c];
            }
        }
        if (x + count == g->columns) {
            return;
        }
        x = smaller(x + count, g->columns - count);
    }
}

/* Add two groups of a cell to D in bytes. */
#define ADD_PAIR(d, q) \
    d = V_ADD8(d, V_ADD8(V_LOOK(V_TABLE(of + 16 * (q)[0]), low), V_LOOK(V_TABLE(of + 16 * (q)[1]), high)))
/* Bytes to the sums of the even lanes and of the odd ones. */
#define WIDEN(sums, d) \
    (sums)[0] = V_ADD16((sums)[0], V_AND(d, V_SET16(255))), (sums)[1] = V_ADD16((sums)[1], V_RIGHT16(d, 8))

/* The window of four cells, `across` bytes apart, or of one. */
typedef struct {
    const uint8_t *rows[LARGEST_SIZE]; /* of the first cell */
    int32_t across[LARGEST_SIZE];
} window;

/* D of LANES filters for four cells; sums are those of the even lanes and of the odd ones, for each cell. */
static void sum_four(const layer *l, const window *from, const uint8_t *w, vec *sums) {
    const int32_t groups = l->size * lines_of(l->channels, l->in_bits), chunk = l->chunk;
    const uint8_t *of = l->tables;
    const vec nibble = V_SET16(0x0f0f), none = V_SET16(0);
    vec d0 = none, d1 = none, d2 = none, d3 = none;
    int32_t row, left, room = chunk;
    for (row = 0; row < 8; row++) {
        sums[row] = none;
    }
    for (row = 0; row < l->size; row++) {
        const int32_t across = from->across[row];
        const uint8_t *q0 = from->rows[row], *q1 = q0 + across, *q2 = q1 + across, *q3 = q2 + across;
        for (left = groups; left > 0;) {
            int32_t n = smaller(room, left / 2);
            room -= n;
            left -= 2 * n;
            for (; n > 0; n--, w += BLOCK, q0 += 2, q1 += 2, q2 += 2, q3 += 2) {
                const vec both = V_LOAD(w), low = V_AND(both, nibble), high = V_AND(V_RIGHT16(both, 4), nibble);
                ADD_PAIR(d0, q0);
                ADD_PAIR(d1, q1);
                ADD_PAIR(d2, q2);
                ADD_PAIR(d3, q3);
            }
            if (left == 1 && room > 0) {
                const vec low = V_AND(V_LOAD(w), nibble);
                d0 = V_ADD8(d0, V_LOOK(V_TABLE(of + 16 * *q0), low));
                d1 = V_ADD8(d1, V_LOOK(V_TABLE(of + 16 * *q1), low));
                d2 = V_ADD8(d2, V_LOOK(V_TABLE(of + 16 * *q2), low));
                d3 = V_ADD8(d3, V_LOOK(V_TABLE(of + 16 * *q3), low));
                w += BLOCK;
                room--;
                left = 0;
            }
            if (room == 0 || (left == 0 && row + 1 == l->size)) {
                WIDEN(sums, d0);
                WIDEN(sums + 2, d1);
                WIDEN(sums + 4, d2);
                WIDEN(sums + 6, d3);
                d0 = d1 = d2 = d3 = none;
                room = chunk;
            }
        }
    }
}

/* The same for one cell. */
static void sum_one(const layer *l, const window *from, const uint8_t *w, vec *sums) {
    const int32_t groups = l->size * lines_of(l->channels, l->in_bits), chunk = l->chunk;
    const uint8_t *of = l->tables;
    const vec nibble = V_SET16(0x0f0f), none = V_SET16(0);
    vec d = none;
    int32_t row, left, room = chunk;
    sums[0] = sums[1] = none;
    for (row = 0; row < l->size; row++) {
        const uint8_t *q = from->rows[row];
        for (left = groups; left > 0; left -= 2, w += BLOCK, q += 2) {
            const vec both = V_LOAD(w), low = V_AND(both, nibble), high = V_AND(V_RIGHT16(both, 4), nibble);
            if (left > 1) {
                ADD_PAIR(d, q);
            } else {
                d = V_ADD8(d, V_LOOK(V_TABLE(of + 16 * *q), low));
            }
            if (--room == 0) {
                WIDEN(sums, d);
                d = none;
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
        const vec pairs = V_OR(even, V_LEFT16(odd, 2));
        V_STORE(all, V_OR(pairs, V_RIGHT32(pairs, 12)));
        for (i = 0; i < bytes; i++) {
            to[i] = all[4 * i];
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

/* LANES filters of a row of another layer. */
static void convolve_filters(stream *s, int i, const uint8_t *const *rows, int32_t f) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const int32_t in_lines = lines_of(l->channels, l->in_bits), lines = lines_of(l->filters, l->bits);
    const int32_t vectors = l->size * ((l->size * in_lines + 1) / 2), first = f / levels_in_a_byte(l->bits);
    const int32_t bytes = smaller(LANES / levels_in_a_byte(l->bits), lines - first);
    const uint8_t *w = l->weights + f / BLOCK * BLOCK * vectors + f % BLOCK;
    uint8_t *to = l->bits == 0 ? NULL : open_row(s, i, -1) + first;
    vec limits[30], sums[8];
    window from;
    int32_t x, row, c, cells;
    if (l->bits != 0) {
        load_limits(l, f, limits);
    }
    for (x = 0; x < g->columns; x += cells) {
        cells = g->columns - x >= 4 ? 4 : 1;
        for (row = 0; row < l->size; row++) {
            from.across[row] = rows[row] == zeros ? 0 : l->stride * in_lines;
            from.rows[row] = rows[row] + x * from.across[row];
        }
        (cells == 4 ? sum_four : sum_one)(l, &from, w, sums);
        for (c = 0; c < cells; c++) {
            if (l->bits == 0) {
                write_filters(s, i, f, x + c, sums + 2 * c);
            } else {
                pack(l, sums + 2 * c, limits, bytes, to + (x + c) * lines);
            }
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
        for (f = 0; f < l->filters; f += LANES) {
            convolve_filters(s, i, rows, f);
        }
    }
    if (open_rows(l) != 0) {
        pool_down(s, i);
    }
}

/* A row of the output map, pooled across and with its flips, into the ring of the next layer. */
static void emit_row(stream *s, int i) {
    const layer *l = &layers[i], *after = &layers[i + 1];
    const stage *g = &s->stages[i], *next = &s->stages[i + 1];
    const int32_t lines = lines_of(l->filters, l->bits);
    const uint8_t *from = open_row(s, i, is_direct(l) ? -1 : g->emitted);
    uint8_t *to = at(s, next->ring + (uint32_t)(next->received % after->size) * next->ring_row);
    int32_t x, column, line;
    to += after->padding * lines;
    for (x = 0; x < g->out_width; x++, to += lines) {
        const int32_t left = x * l->pool_stride - l->pool_padding / 2;
        const int32_t first = left < 0 ? 0 : left, last = smaller(left + l->pool_size, g->columns);
        memcpy(to, from + first * lines, (size_t)lines);
        for (column = first + 1; column < last; column++) {
            larger_all(l->bits, to, from + column * lines, lines);
        }
        for (line = 0; line < lines; line++) {
            to[line] ^= l->flips[line];
        }
#ifdef NETWORK_TRACE
        for (column = 0; column < l->filters; column++) {
            const int32_t a_byte = levels_in_a_byte(l->bits), bits = 8 / a_byte;
            network_trace(i, (int)g->emitted, (int)x, (int)column,
                          to[column / a_byte] >> (bits * (column % a_byte)) & ((1 << l->bits) - 1));
        }
#endif
    }
}

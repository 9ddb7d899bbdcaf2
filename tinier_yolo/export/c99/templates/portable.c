/* ------------------------------------------------------------------------------------------------------------------
 * Sums by lookup. CELLS neighbouring cells of a row are convolved at once, each in a byte of a word.
 *
 * With w the bit of a weight (1 for +1), q a level of k bits, K = 2^k - 1 and B the number of a filter's +1:
 *
 *     sum of sign * level = K B - D,     D = sum of (w ? K - q : q)
 *
 * So sum > threshold means D < limit, where the limits have K B in them already. Padding is level 0 and needs no care.
 * D is summed in groups of four channels of one cell of the window. What a group adds depends on four bits of weights:
 * a table of 16 words, made once for all filters. A level is the number of limits above D. The maximum over a pooling
 * window is taken of the levels, before a flip turns them round. Bytes of the image are levels of 8 bits, whose groups
 * are summed in 16 bits.
 *
 * Maps: a row of a ring is lines of one byte a column, with the padding's columns at both ends. A line holds a group of
 * four channels in two bits each, or, for levels of 3 and 4 bits, two channels in four bits each. A row of a pooling
 * window is a line of levels for each filter.
 */

static int32_t groups_of(int32_t channels) {
    return (channels + 3) / 4;
}

static int32_t lines_of(int32_t channels, int bits) {
    return groups_of(channels) * (bits > 2 ? 2 : 1);
}

static uint32_t ring_row_bytes(const layer *l, int i, int32_t width) {
    const uint32_t columns = (uint32_t)(width + 2 * l->padding);
    return columns * (uint32_t)(i == 0 ? NETWORK_CHANNELS : lines_of(l->channels, l->in_bits));
}

static uint32_t open_row_bytes(const layer *l, int32_t out_width) {
    return (uint32_t)out_width * (uint32_t)l->filters;
}

static void clear_ring(stream *s, int i) {
    memset(at(s, s->stages[i].ring), 0, (size_t)s->stages[i].ring_row * (size_t)layers[i].size);
}

/* The row of a ring that holds row y of the input map; NULL where that is padding. */
static const uint8_t *ring_row(stream *s, int i, int32_t y) {
    const stage *g = &s->stages[i];
    return y < 0 || y >= g->height ? NULL : (const uint8_t *)at(s, g->ring + (uint32_t)(y % layers[i].size) * g->ring_row);
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

/* Bytes at from, from + step, ...: that of cell c becomes byte c of the word. */
static word load(const uint8_t *from, int32_t step, int32_t count) {
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

/* What a group adds to D, for the 4 bits of weights of its first two channels. */
INLINE void fill4(word *table, word v0, word v1, word top, word others) {
    table[0] = v0 + v1 + others;
    table[1] = (v0 ^ top) + v1 + others;
    table[2] = v0 + (v1 ^ top) + others;
    table[3] = (v0 ^ top) + (v1 ^ top) + others;
}

/* For all 8 of three channels; for all 16 of four. Bit j is channel j's. */
static void fill8(word *table, word v0, word v1, word v2, word top) {
    fill4(table, v0, v1, top, v2);
    fill4(table + 4, v0, v1, top, v2 ^ top);
}

static void fill16(word *table, word v0, word v1, word v2, word v3, word top) {
    fill4(table, v0, v1, top, v2 + v3);
    fill4(table + 4, v0, v1, top, (v2 ^ top) + v3);
    fill4(table + 8, v0, v1, top, v2 + (v3 ^ top));
    fill4(table + 12, v0, v1, top, (v2 ^ top) + (v3 ^ top));
}

static void fill_from(word *table, const uint8_t *line, size_t pitch, int32_t step, int32_t count, int bits) {
    word v[4] = {0, 0, 0, 0};
    if (line != NULL && bits <= 2) {
        const word all = load(line, step, count);
        v[0] = all & (BYTES * 3);
        v[1] = all >> 2 & (BYTES * 3);
        v[2] = all >> 4 & (BYTES * 3);
        v[3] = all >> 6 & (BYTES * 3);
    } else if (line != NULL) {
        const word all = load(line, step, count), more = load(line + pitch, step, count);
        v[0] = all & (BYTES * 15);
        v[1] = all >> 4 & (BYTES * 15);
        v[2] = more & (BYTES * 15);
        v[3] = more >> 4 & (BYTES * 15);
    }
    fill16(table, v[0], v[1], v[2], v[3], BYTES * ((1u << bits) - 1));
}

/* The same for channels of the image: a table for the even cells and one for the odd ones, in 16 bits each. */
static void fill_image(word *table, const uint8_t *line, size_t pitch, int32_t step, int32_t count, int32_t channels) {
    word even[4] = {0, 0, 0, 0}, odd[4] = {0, 0, 0, 0};
    int32_t c;
    for (c = 0; c < smaller(channels, 4) && line != NULL; c++, line += pitch) {
        const word all = load(line, step, count);
        even[c] = all & EVEN;
        odd[c] = all >> 8 & EVEN;
    }
    if (channels > 3) {
        fill16(table, even[0], even[1], even[2], even[3], EVEN);
        fill16(table + 16, odd[0], odd[1], odd[2], odd[3], EVEN);
    } else {
        fill8(table, even[0], even[1], even[2], EVEN);
        fill8(table + 16, odd[0], odd[1], odd[2], EVEN);
    }
}

/* Add the bytes of a word to D of a filter. */
INLINE void widen(sums_of *sums, word bytes) {
#if WIDE_SUMS
    int32_t c;
    for (c = 0; c < CELLS; c++) {
        sums->cells[c] += (uint32_t)(bytes >> (8 * c)) & 255u;
    }
#else
    sums->fields[0] += bytes & EVEN;
    sums->fields[1] += bytes >> 8 & EVEN;
#endif
}

/* What eight groups give to D, by their tables and 32 bits of weights. */
INLINE word eight(const word *t, uint32_t bits) {
    word all = t[bits & 15];
    all += t[16 + (bits >> 4 & 15)];
    all += t[32 + (bits >> 8 & 15)];
    all += t[48 + (bits >> 12 & 15)];
    all += t[64 + (bits >> 16 & 15)];
    all += t[80 + (bits >> 20 & 15)];
    all += t[96 + (bits >> 24 & 15)];
    return all + t[112 + (bits >> 28)];
}

/* Add what the groups first .. first + n - 1 give to D of every filter. */
static void look_up(const layer *l, const word *tables, int32_t first, int32_t n, sums_of *sums) {
    const uint32_t *w = l->weights + first / 8;
    const sums_of *end = sums + l->filters;
    const int32_t words = l->words;
    if (n == 16) {
        for (; sums != end; sums++, w += words) {
            widen(sums, eight(tables, w[0]) + eight(tables + 8 * 16, w[1]));
        }
    } else if (n == 8) {
        for (; sums != end; sums++, w += words) {
            widen(sums, eight(tables, w[0]));
        }
    } else {
        for (; sums != end; sums++, w += words) {
            const word *t = tables;
            word all = 0;
            int32_t left = n;
            uint32_t bits = w[0] >> (4 * (first % 8));
            if (left > 8) {
                all = eight(t, bits);
                t += 8 * 16;
                left -= 8;
                bits = w[1];
            }
            for (; left > 0; left--, t += 16, bits >>= 4) {
                all += t[bits & 15];
            }
            widen(sums, all);
        }
    }
}

/* The same for groups of the image. */
static void look_up_image(const layer *l, const word *tables, int32_t first, int32_t n, sums_of *sums) {
    const uint32_t *w = l->weights + first / 8;
    int32_t f, left;
    for (f = 0; f < l->filters; f++, w += l->words, sums++) {
        const word *t = tables;
        uint32_t bits = *w;
        word even = 0, odd = 0;
        for (left = n; left > 0; left--, t += 32, bits >>= 4) {
            even += t[bits & 15];
            odd += t[16 + (bits & 15)];
        }
#if WIDE_SUMS
        for (left = 0; left < CELLS; left++) {
            sums->cells[left] += (uint32_t)((left % 2 == 0 ? even : odd) >> (16 * (left / 2))) & 0xffffu;
        }
#else
        sums->fields[0] += even;
        sums->fields[1] += odd;
#endif
    }
}

/* D of all filters for the cells from column x on. */
static void add_up(const layer *l, const uint8_t *const *rows, size_t pitch, int32_t x, int32_t count, word *tables,
                   sums_of *sums) {
    const int32_t groups = groups_of(l->channels);
    const size_t lines = l->in_bits > 4 ? 4 : l->in_bits > 2 ? 2 : 1;
    /* Groups whose bytes cannot overflow: 16 * 12, 8 * 28, 4 * 60. Of the image there is room for 8. */
    const int32_t chunk = l->in_bits <= 2 ? 16 : l->in_bits == 4 ? 4 : 8;
    int32_t row, column, group, first = 0, n = 0;
    memset(sums, 0, (size_t)l->filters * sizeof *sums);
    for (row = 0; row < l->size; row++) {
        for (column = 0; column < l->size; column++) {
            const uint8_t *line = rows[row] == NULL ? NULL : rows[row] + x * l->stride + column;
            for (group = 0; group < groups; group++) {
                const int last = row + 1 == l->size && column + 1 == l->size && group + 1 == groups;
                if (l->in_bits > 4) {
                    fill_image(tables + 32 * n, line, pitch, l->stride, count, l->channels - 4 * group);
                } else {
                    fill_from(tables + 16 * n, line, pitch, l->stride, count, l->in_bits);
                }
                line = line == NULL ? NULL : line + lines * pitch;
                if (++n == chunk || last) {
                    (l->in_bits > 4 ? look_up_image : look_up)(l, tables, first, n, sums);
                    first += n;
                    n = 0;
                }
            }
        }
    }
}

static uint32_t get(const sums_of *sums, int32_t c) {
#if WIDE_SUMS
    return sums->cells[c];
#else
    return (uint32_t)(sums->fields[c & 1] >> (16 * (c >> 1))) & 0xffffu;
#endif
}

/* The levels of a filter's cells, in bytes. */
static word compare(const layer *l, int32_t f, const sums_of *sums) {
    const int32_t n = (1 << l->bits) - 1;
    int32_t i, c;
    word levels = 0;
#if !WIDE_SUMS
    if (l->narrow != NULL) {
        /* D and limits are below 2^15: with a bit set above each D no difference borrows, and the bit stays where
         * D >= limit. */
        const uint16_t *limits = l->narrow + f * n;
        const word even = sums->fields[0] | FIELDS << 15, odd = sums->fields[1] | FIELDS << 15;
        word not_even = 0, not_odd = 0;
        for (i = n; i > 0; i--) {
            const word limit = FIELDS * *limits++;
            not_even += (even - limit) >> 15 & FIELDS;
            not_odd += (odd - limit) >> 15 & FIELDS;
        }
        return BYTES * (word)n - (not_even | not_odd << 8);
    }
#endif
    for (c = 0; c < CELLS; c++) {
        const uint32_t d = get(sums, c);
        for (i = 0; i < n; i++) {
            levels += (word)(d < (l->narrow != NULL ? l->narrow[f * n + i] : l->wide[f * n + i])) << (8 * c);
        }
    }
    return levels;
}

/* The larger one of each byte; all are below 128. */
static word larger_bytes(word a, word b) {
    const word is_a = ((a | BYTES << 7) - b) >> 7 & BYTES;
    return b ^ ((a ^ b) & is_a * 255);
}

/* Put the levels of a filter's cells into the pooling windows that hold them; cell c is in the columns first[c] ..
 * last[c] of the pooled row. */
static void pool(const layer *l, uint8_t *best, int32_t x, int32_t count, const int32_t *first, const int32_t *last,
                 word levels) {
    int32_t c, column;
    if (l->pool_size == 1 && l->pool_stride == 1 && count == CELLS && first[0] == x && last[count - 1] == x + count - 1) {
        store(best + x, levels, count);
        return;
    }
    if (l->pool_size == 2 && l->pool_stride == 2 && l->pool_padding < 2 && 2 * first[0] == x && count == CELLS &&
        last[count - 1] == (x + count) / 2 - 1) {
        levels = larger_bytes(levels, levels >> 8);
        for (c = first[0]; c <= last[CELLS - 1]; c++, levels >>= 16) {
            const uint8_t level = (uint8_t)(levels & 255u);
            best[c] = best[c] > level ? best[c] : level;
        }
        return;
    }
    for (c = 0; c < count; c++, levels >>= 8) {
        const uint8_t level = (uint8_t)(levels & 255u);
        for (column = first[c]; column <= last[c]; column++) {
            best[column] = best[column] > level ? best[column] : level;
        }
    }
}

/* Cells x .. x + count - 1 of the row at work, from D: into the pooled rows, or into the output map. */
static void finish(stream *s, int i, int32_t x, int32_t count, const int32_t *first, const int32_t *last,
                   const sums_of *sums) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    int32_t f, c, row;
    for (f = 0; f < l->filters; f++, sums++) {
        if (l->bits == 0) {
            const size_t place = ((size_t)f * (size_t)g->rows + (size_t)g->convolved) * (size_t)g->columns + (size_t)x;
            for (c = 0; c < count; c++) {
                const int32_t sum = l->base[f] - (int32_t)get(sums, c);
                s->output.pointer[place + (size_t)c] = l->multipliers[f] * sum + l->biases[f];
            }
        } else {
            const word levels = compare(l, f, sums);
            for (row = g->first_row; row <= g->last_row; row++) {
                uint8_t *open = at(s, g->open + (uint32_t)(row % open_rows(l)) * g->open_row);
                pool(l, open + f * g->out_width, x, count, first, last, levels);
            }
        }
    }
}

static void convolve_row(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const uint8_t *rows[LARGEST_SIZE];
    word *tables = at(s, s->scratch);
    sums_of *sums = at(s, s->scratch + TABLES_BYTES);
    const int32_t count = smaller(CELLS, g->columns);
    int32_t row, x = 0, c;
    for (row = 0; row < l->size; row++) {
        rows[row] = ring_row(s, i, g->convolved * l->stride - l->padding + row);
    }
    for (row = g->first_row; row <= g->last_row && l->bits != 0; row++) {
        const int32_t top = row * l->pool_stride - l->pool_padding / 2;
        if (g->convolved == (top < 0 ? 0 : top)) {
            memset(at(s, g->open + (uint32_t)(row % open_rows(l)) * g->open_row), 0, g->open_row);
        }
    }
    for (;;) {
        int32_t first[CELLS] = {0}, last[CELLS] = {0};
        add_up(l, rows, (size_t)(g->width + 2 * l->padding), x, count, tables, sums);
        for (c = 0; c < count && l->bits != 0; c++) {
            const int32_t place = x + c + l->pool_padding / 2, from = place - l->pool_size + 1;
            first[c] = from <= 0 ? 0 : (from + l->pool_stride - 1) / l->pool_stride;
            last[c] = smaller(place / l->pool_stride, g->out_width - 1);
        }
        finish(s, i, x, count, first, last, sums);
        if (x + count == g->columns) {
            return;
        }
        /* The last cells overlap those before: maxima may be taken twice. */
        x = smaller(x + count, g->columns - count);
    }
}

/* A row of pooled levels, with their flips, into the ring of the next layer. */
static void emit_pooled(stream *s, int i, int32_t slot) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i], *next = &s->stages[i + 1];
    const uint8_t *levels = at(s, g->open + (uint32_t)slot * g->open_row);
    uint8_t *ring = at(s, next->ring + (uint32_t)(next->received % layers[i + 1].size) * next->ring_row);
    const int32_t pitch = next->width + 2 * layers[i + 1].padding;
    const int32_t in_a_line = l->bits > 2 ? 2 : 4, bits = l->bits > 2 ? 4 : 2;
    const word top = BYTES * ((1u << l->bits) - 1);
    int32_t line, x;
    ring += layers[i + 1].padding;
    for (line = 0; line < lines_of(l->filters, l->bits); line++, ring += pitch) {
        const int32_t f = line * in_a_line, here = smaller(in_a_line, l->filters - f);
        for (x = 0; x < g->out_width; x += CELLS) {
            const int32_t count = smaller(CELLS, g->out_width - x);
            word bytes = 0;
            int32_t j;
            for (j = 0; j < here; j++) {
                const word flip = (l->flips[(f + j) / 32] >> ((f + j) % 32) & 1u) != 0 ? top : 0;
                bytes |= (load(levels + (f + j) * g->out_width + x, 1, count) ^ flip) << (bits * j);
            }
            store(ring + x, bytes, count);
        }
    }
#ifdef NETWORK_TRACE
    for (x = 0; x < g->out_width; x++) {
        for (line = 0; line < l->filters; line++) {
            const int flip = (l->flips[line / 32] >> (line % 32) & 1u) != 0 ? (1 << l->bits) - 1 : 0;
            network_trace(i, (int)g->emitted, (int)x, (int)line, levels[line * g->out_width + x] ^ flip);
        }
    }
#endif
}

/* ------------------------------------------------------------------------------------------------------------------
 * Sums by lookup. CELLS neighbouring cells of a row are convolved at once, each in a byte of a word.
 *
 * With w the bit of a weight (1 for +1), q a level of k bits, K = 2^k - 1 and B the number of a filter's +1:
 *
 *     sum of sign * level = K B - D,     D = sum of (w ? K - q : q)
 *
 * So sum > threshold means D < limit, where the limits have K B in them already. Padding is level 0 and needs no care.
 * D is summed in groups of four channels of one cell of the window. What a group adds depends on four bits of weights:
 * a table of 16 words, made once for all filters. Two groups together have 256 words, which pays where many filters
 * look them up. Bytes of the image are levels of 8 bits, whose groups are summed in 16 bits.
 */

/* What a group adds to D, for the 4 bits of weights of its first two channels. */
INLINE void fill4(entry *table, entry v0, entry v1, word top, entry others) {
    const entry low = v0 + others, high = (v0 ^ top) + others;
    table[0] = low + v1;
    table[1] = high + v1;
    table[2] = low + (v1 ^ top);
    table[3] = high + (v1 ^ top);
}

/* For all 16 of four channels. Bit j is channel j's. */
INLINE void fill16(entry *table, const entry *v, word top) {
    fill4(table, v[0], v[1], top, v[2] + v[3]);
    fill4(table + 4, v[0], v[1], top, (v[2] ^ top) + v[3]);
    fill4(table + 8, v[0], v[1], top, v[2] + (v[3] ^ top));
    fill4(table + 12, v[0], v[1], top, (v[2] ^ top) + (v[3] ^ top));
}

static void fill_from(entry *table, const place *from, const uint8_t *line, size_t pitch, int bits) {
    entry v[4] = {NONE, NONE, NONE, NONE};
    if (line != NULL && bits <= 2) {
        const entry all = load(from, line);
        v[0] = all & (BYTES * 3);
        v[1] = all >> 2 & (BYTES * 3);
        v[2] = all >> 4 & (BYTES * 3);
        v[3] = all >> 6 & (BYTES * 3);
    } else if (line != NULL) {
        const entry all = load(from, line), more = load(from, line + pitch);
        v[0] = all & (BYTES * 15);
        v[1] = all >> 4 & (BYTES * 15);
        v[2] = more & (BYTES * 15);
        v[3] = more >> 4 & (BYTES * 15);
    }
    fill16(table, v, BYTES * ((1u << bits) - 1));
}

/* For all 256 of eight channels. */
static void fill256(entry *table, const place *from, const uint8_t *line, size_t pitch, int bits) {
    entry low[16], high[16];
    int32_t i, j;
    fill_from(low, from, line, pitch, bits);
    fill_from(high, from, line == NULL ? NULL : line + pitch, pitch, bits);
    for (i = 0; i < 16; i += 4) {
        const entry a = low[i], b = low[i + 1], c = low[i + 2], d = low[i + 3];
        entry *t = table + i;
        for (j = 0; j < 16; j++, t += 16) {
            const entry more = high[j];
            t[0] = a + more;
            t[1] = b + more;
            t[2] = c + more;
            t[3] = d + more;
        }
    }
}

/* The same for channels of the image: the even cells' bytes, in 16 bits each. Those of the odd cells are the even ones'
 * of a place one stride on, so that every table serves twice. */
INLINE void fill_image(entry *table, const place *from, const uint8_t *line, size_t pitch, int32_t left, int32_t channels) {
    const int32_t here = line == NULL ? 0 : channels;
    entry v[4] = {NONE, NONE, NONE, NONE};
    v[0] = here > 0 ? load_even(from, line, left) : v[0];
    v[1] = here > 1 ? load_even(from, line + pitch, left) : v[1];
    v[2] = here > 2 ? load_even(from, line + 2 * pitch, left) : v[2];
    v[3] = here > 3 && IMAGE_CHANNELS == 4 ? load_even(from, line + 3 * pitch, left) : v[3];
    if (IMAGE_CHANNELS == 4) {
        fill16(table, v, EVEN);
    } else {
        fill4(table, v[0], v[1], EVEN, v[2]);
        fill4(table + 4, v[0], v[1], EVEN, v[2] ^ EVEN);
    }
}

/* Add the bytes of an entry to D of a filter. */
INLINE void widen(sums_of *sums, entry bytes) {
#if WIDE_SUMS
    int32_t c;
    for (c = 0; c < AT_ONCE; c++) {
        sums->cells[c] += (uint32_t)(WORD_OF(bytes, c / CELLS) >> (8 * (c % CELLS))) & 255u;
    }
#else
    sums->even += bytes & EVEN;
    sums->odd += bytes >> 8 & EVEN;
#endif
}

/* The same in 16 bits: the even cells' and the odd ones'. */
INLINE void widen_image(sums_of *sums, entry even, entry odd) {
#if WIDE_SUMS
    int32_t c;
    for (c = 0; c < AT_ONCE; c++) {
        const entry d = c & 1 ? odd : even;
        sums->cells[c] += (uint32_t)(WORD_OF(d, c / CELLS) >> (16 * (c % CELLS >> 1))) & 0xffffu;
    }
#else
    sums->even += even;
    sums->odd += odd;
#endif
}

/* D is 0. Where D and limits are below 2^15 a bit is set above each, so that no difference borrows from the next. */
INLINE void clear(const layer *l, sums_of *sums) {
#if WIDE_SUMS
    (void)l;
    memset(sums, 0, sizeof *sums);
#else
    sums->even = sums->odd = NONE + (l->narrow != NULL ? FIELDS << 15 : 0);
#endif
}

/* What eight groups give to D, by their tables and 32 bits of weights. */
INLINE entry eight(const entry *t, uint32_t bits) {
    entry all = t[bits & 15];
    all += t[16 + (bits >> 4 & 15)];
    all += t[32 + (bits >> 8 & 15)];
    all += t[48 + (bits >> 12 & 15)];
    all += t[64 + (bits >> 16 & 15)];
    all += t[80 + (bits >> 20 & 15)];
    all += t[96 + (bits >> 24 & 15)];
    return all + t[112 + (bits >> 28)];
}

/* Words of a filter's weights that stand together: two, then those of the next filter; the last one may be alone. */
INLINE int32_t words_together(const layer *l, int32_t index) {
    return smaller(2, l->words - index / 2 * 2);
}

/* The first filter's words from this one on. */
INLINE const uint32_t *weights_from(const layer *l, int32_t index) {
    return l->weights + index / 2 * 2 * l->filters + index % 2;
}

/* Add what the groups first .. first + n - 1 give to D of every filter. */
static void look_up(const layer *l, const entry *tables, int32_t first, int32_t n, sums_of *sums) {
    const uint32_t *w = weights_from(l, first / 8);
    const sums_of *end = sums + l->filters;
    const int32_t together = words_together(l, first / 8);
    if (n == 16) {
        for (; sums != end; sums++, w += 2) {
            widen(sums, eight(tables, w[0]) + eight(tables + 8 * 16, w[1]));
        }
    } else {
        for (; sums != end; sums++, w += together) {
            const entry *t = tables;
            entry all = NONE;
            int32_t left = n;
            uint32_t bits = w[0] >> (4 * (first % 8));
            if (left >= 8) {
                all = eight(t, bits);
                t += 8 * 16;
                left -= 8;
                bits = left > 0 ? w[1] : 0;
            }
            for (; left > 0; left--, t += 16, bits >>= 4) {
                all += t[bits & 15];
            }
            widen(sums, all);
        }
    }
}

/* What four pairs of groups give to D. */
INLINE entry four(const entry *t, uint32_t bits) {
    return t[bits & 255] + t[256 + (bits >> 8 & 255)] + t[512 + (bits >> 16 & 255)] + t[768 + (bits >> 24)];
}

/* The same for pairs of groups. */
static void look_up_pairs(const layer *l, const entry *tables, int32_t first, int32_t n, sums_of *sums) {
    const uint32_t *w = weights_from(l, first / 4);
    const sums_of *end = sums + l->filters;
    const int32_t together = words_together(l, first / 4);
    if (n == 8) {
        for (; sums != end; sums++, w += 2) {
            widen(sums, four(tables, w[0]) + four(tables + 1024, w[1]));
        }
    } else {
        for (; sums != end; sums++, w += together) {
            entry all = NONE;
            int32_t i;
            for (i = 0; i < n; i++) {
                all += tables[256 * i + (int32_t)(w[i / 4] >> (8 * (i % 4)) & 255)];
            }
            widen(sums, all);
        }
    }
}

/* What a group of the image gives to D; the odd cells' table is `odd` entries on. */
INLINE void add_image(const entry *table, int32_t odd, uint32_t bits, entry *both) {
    const entry *of = table + (bits & (IMAGE_WORDS - 1));
    both[0] += of[0];
    both[1] += of[odd];
}

/* A window of 3x3 cells of one group. */
INLINE void add_nine(const entry *t, int32_t row, int32_t odd, const uint32_t *w, entry *both) {
    const uint32_t bits = w[0];
    add_image(t, odd, bits, both);
    add_image(t + IMAGE_WORDS, odd, bits >> 4, both);
    add_image(t + 2 * IMAGE_WORDS, odd, bits >> 8, both);
    t += row;
    add_image(t, odd, bits >> 12, both);
    add_image(t + IMAGE_WORDS, odd, bits >> 16, both);
    add_image(t + 2 * IMAGE_WORDS, odd, bits >> 20, both);
    t += row;
    add_image(t, odd, bits >> 24, both);
    add_image(t + IMAGE_WORDS, odd, bits >> 28, both);
    add_image(t + 2 * IMAGE_WORDS, odd, w[1], both);
}

/* Add what n rows of the window from row `first` on give to D of every filter. */
static void look_up_image(const layer *l, const entry *tables, int32_t first, int32_t n, sums_of *sums) {
    const int32_t in_a_row = l->size * IMAGE_GROUPS, odd = l->stride * IMAGE_GROUPS * IMAGE_WORDS;
    const int32_t row_entries = in_a_row * IMAGE_WORDS + odd;
    int32_t f, row, i;
    for (f = 0; f < l->filters; f++, sums++) {
        entry both[2] = {NONE, NONE};
        int32_t held = 0;
        if (first == 0) {
            clear(l, sums);
        }
        if (IMAGE_GROUPS == 1 && l->size == 3 && n == 3) {
            add_nine(tables, row_entries, odd, l->weights + 2 * f, both);
        } else {
            for (row = 0; row < n; row++) {
                for (i = 0; i < in_a_row; i++) {
                    const int32_t group = (first + row) * in_a_row + i;
                    const uint32_t *w = weights_from(l, group / 8) + f * words_together(l, group / 8);
                    add_image(tables + row * row_entries + i * IMAGE_WORDS, odd, *w >> (4 * (group % 8)), both);
                    /* A group gives 4 * 255 at the most: so many are below 2^16. */
                    if (WIDE_SUMS && ++held == 64) {
                        widen_image(sums, both[0], both[1]);
                        both[0] = both[1] = NONE;
                        held = 0;
                    }
                }
            }
        }
        widen_image(sums, both[0], both[1]);
    }
}

/* The tables of some groups, and what they add whenever there is no room for more of them. */
typedef struct {
    const layer *of;
    entry *tables;
    sums_of *sums;
    size_t pitch;         /* between two lines */
    place cells;          /* at work */
    int32_t entries;      /* of a table */
    int32_t first, n;     /* the first table that is there, and how many */
    int32_t chunk, total; /* how many may be there, and how many there are of the whole window */
} adder;

static void prepare(adder *a, const layer *l) {
    a->of = l;
    a->total = l->size * l->size * ((l->channels + l->group - 1) / l->group);
    /* So many that their bytes cannot overflow: 8 * 24, 16 * 12, 8 * 28, 4 * 60. */
    a->entries = l->group == 8 ? 256 : 16;
    a->chunk = l->in_bits == 4 ? 4 : l->in_bits == 3 || l->group == 8 ? 8 : 16;
}

/* All groups of one cell of the window, whose first line is this. */
static void add_tap(adder *a, const uint8_t *line) {
    const layer *l = a->of;
    const size_t lines = l->in_bits > 2 || l->group == 8 ? 2 : 1;
    int32_t channel;
    for (channel = 0; channel < l->channels; channel += l->group) {
        entry *table = a->tables + a->entries * a->n;
        if (l->group == 8) {
            fill256(table, &a->cells, line, a->pitch, l->in_bits);
        } else {
            fill_from(table, &a->cells, line, a->pitch, l->in_bits);
        }
        line = line == NULL ? NULL : line + lines * a->pitch;
        a->n++;
        if (a->n == a->chunk || a->first + a->n == a->total) {
            (l->group == 8 ? look_up_pairs : look_up)(l, a->tables, a->first, a->n, a->sums);
            a->first += a->n;
            a->n = 0;
        }
    }
}

/* D of all filters for cells of the image: as many rows of the window at once as have room. */
static void add_up_image(adder *a, const uint8_t *const *rows) {
    const layer *l = a->of;
    const int32_t places = l->size + l->stride, at_once = TABLE_WORDS / (places * IMAGE_GROUPS * IMAGE_WORDS);
    const int32_t pitch = (int32_t)a->pitch;
    int32_t first, row, column, channel;
    a->cells.whole = LITTLE_ENDIAN_BYTES && l->stride == 1 && a->cells.at[WORDS - 1] + l->size + CELLS - 1 <= pitch;
    for (first = 0; first < l->size; first += at_once) {
        const int32_t end = smaller(first + at_once, l->size);
        entry *table = a->tables;
        for (row = first; row < end; row++) {
            for (column = 0; column < places; column++) {
                const uint8_t *line = rows[row] == NULL ? NULL : rows[row] + column;
                for (channel = 0; channel < NETWORK_CHANNELS; channel += 4, table += IMAGE_WORDS) {
                    fill_image(table, &a->cells, line, a->pitch, pitch - column, NETWORK_CHANNELS - channel);
                    line = line == NULL ? NULL : line + 4 * a->pitch;
                }
            }
        }
        look_up_image(l, a->tables, first, end - first, a->sums);
    }
}

/* D of all filters for the cells at work. */
static void add_up(adder *a, const uint8_t *const *rows) {
    const layer *l = a->of;
    int32_t row, column, f;
    if (l->in_bits > 4) {
        add_up_image(a, rows);
        return;
    }
    for (f = 0; f < l->filters; f++) {
        clear(l, &a->sums[f]);
    }
    a->first = a->n = 0;
    for (row = 0; row < l->size; row++) {
        for (column = 0; column < l->size; column++) {
            add_tap(a, rows[row] == NULL ? NULL : rows[row] + column);
        }
    }
}

/* D of cell c of word `at`. */
static uint32_t get(const sums_of *sums, int at, int32_t c) {
#if WIDE_SUMS
    return sums->cells[at * CELLS + c];
#else
    const entry d = c & 1 ? sums->odd : sums->even;
    (void)at; /* there may be one word only */
    return (uint32_t)(WORD_OF(d, at) >> (16 * (c >> 1))) & 0xffffu;
#endif
}

#if !WIDE_SUMS
/* With a bit set above each D it stays where D >= limit. Limits fall, so of three such bits a, b, c the first implies
 * the others: their number is b in twos and a ^ b ^ c in ones, and a level is 3 less it. */
INLINE entry narrow_levels(const layer *l, int32_t f, const sums_of *sums) {
    const int32_t n = (1 << l->bits) - 1;
    const uint16_t *limits = l->narrow + f * n;
    const entry even = sums->even, odd = sums->odd;
    entry not_even = NONE, not_odd = NONE;
    int32_t i;
    if (n == 3) {
        const word first = FIELDS * limits[0], second = FIELDS * limits[1], third = FIELDS * limits[2];
        const entry twos = (even - second) >> 15 & FIELDS, odd_twos = (odd - second) >> 7 & FIELDS << 8;
        const entry ones = ((even - first) ^ (even - second) ^ (even - third)) >> 15 & FIELDS;
        const entry odd_ones = ((odd - first) ^ (odd - second) ^ (odd - third)) >> 7 & FIELDS << 8;
        return (BYTES * 3) ^ ((twos | odd_twos) << 1 | ones | odd_ones);
    }
    for (i = n; i > 0; i--) {
        const word limit = FIELDS * *limits++;
        not_even += (even - limit) >> 15 & FIELDS;
        not_odd += (odd - limit) >> 15 & FIELDS;
    }
    return BYTES * (word)n - (not_even | not_odd << 8);
}
#endif

/* The levels of a filter's cells, in bytes. */
INLINE entry compare(const layer *l, int32_t f, const sums_of *sums) {
    const int32_t n = (1 << l->bits) - 1;
    int32_t i, c;
    entry levels = NONE;
#if !WIDE_SUMS
    if (l->narrow != NULL) {
        return narrow_levels(l, f, sums);
    }
#endif
    for (c = 0; c < AT_ONCE; c++) {
        const uint32_t d = get(sums, c / CELLS, c % CELLS);
        for (i = 0; i < n; i++) {
            const int passed = d < (l->narrow != NULL ? l->narrow[f * n + i] : l->wide[f * n + i]);
            WORD_OF(levels, c / CELLS) += (word)passed << (8 * (c % CELLS));
        }
    }
    return levels;
}

/* Pairs of neighbouring cells, pooled, of the filters of a line whose levels have 2 bits at most: bytes of a map in the
 * even bytes. A pair is at or above a limit where both cells are. The filters' bits enter at the top of each field. */
INLINE entry pooled_pairs(const layer *l, int32_t f, int32_t here, const sums_of *sums) {
#if WIDE_SUMS
    (void)l, (void)f, (void)here, (void)sums;
    return NONE; /* not reached: only narrow sums are paired */
#else
    const uint16_t *limits = l->narrow + f * (l->bits == 2 ? 3 : 1);
    entry bits = NONE;
    int32_t j;
    for (j = 0; j < here; j++, sums++) {
        const entry even = sums->even, odd = sums->odd;
        const word first = FIELDS * *limits++;
        const entry above = (even - first) & (odd - first);
        if (l->bits == 2) {
            const word second = FIELDS * *limits++, third = FIELDS * *limits++;
            const entry twos = (even - second) & (odd - second), last = (even - third) & (odd - third);
            bits = bits >> 2 | (twos & FIELDS << 15) | ((above ^ twos ^ last) & FIELDS << 15) >> 1;
        } else {
            bits = bits >> 2 | (above & FIELDS << 15) >> 1;
        }
    }
    bits = bits >> (16 - 2 * here) ^ FIELDS * ((1u << (2 * here)) - 1);
    return l->bits == 2 ? bits : bits & FIELDS * 0x55;
#endif
}

static void write_output(stream *s, int i, const int32_t *first, int32_t count, const sums_of *sums) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const size_t plane = (size_t)g->rows * (size_t)g->columns;
    int32_t *to = s->output.pointer + (size_t)g->convolved * (size_t)g->columns;
    int32_t f, c, j;
    for (f = 0; f < l->filters; f++, sums++, to += plane) {
        for (j = 0; j < WORDS; j++) {
            for (c = 0; c < count; c++) {
                to[first[j] + c] = l->multipliers[f] * (l->base[f] - (int32_t)get(sums, j, c)) + l->biases[f];
            }
        }
    }
}

/* The levels of all filters for the cells at work into the next layer's ring, or into the rows that are pooled; `first` is
 * the first cell of each word. */
static void finish(stream *s, int i, const int32_t *first, int32_t count, const sums_of *sums) {
    const layer *l = &layers[i];
    const int32_t in_a_line = levels_in_a_byte(l->bits), bits = 8 / in_a_line;
    spans columns[WORDS];
    int32_t f, j, line = 0;
    for (j = 0; j < WORDS && !is_direct(l); j++) {
        find_spans(l, s->stages[i].out_width, first[j], count, &columns[j]);
    }
    for (f = 0; f < l->filters; f += in_a_line, sums += in_a_line, line++) {
        const int32_t here = smaller(in_a_line, l->filters - f);
        entry bytes = NONE;
        for (j = 0; j < here; j++) {
            bytes |= compare(l, f + j, sums + j) << (bits * j);
        }
        for (j = 0; j < WORDS; j++) {
            if (is_direct(l)) {
                store(to_ring(s, i, line) + first[j], WORD_OF(bytes, j) ^ BYTES * l->flips[line], count);
            } else {
                pool(s, i, line, &columns[j], count, WORD_OF(bytes, j));
            }
        }
    }
}

/* The same where all words are whole windows of two. */
static void finish_pairs(stream *s, int i, const int32_t *first, const sums_of *sums) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const int32_t in_a_line = levels_in_a_byte(l->bits);
    uint8_t *best;
    int32_t f, j;
    if (g->first_row > g->last_row) {
        return;
    }
    best = open_line(s, i, g->first_row, 0);
    for (f = 0; f < l->filters; f += in_a_line, best += g->out_width) {
        const entry bytes = pooled_pairs(l, f, smaller(in_a_line, l->filters - f), sums + f);
        for (j = 0; j < WORDS; j++) {
            pool_pairs(best + first[j] / 2, WORD_OF(bytes, j));
        }
    }
}

static void convolve_row(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const uint8_t *rows[LARGEST_SIZE];
    const int32_t count = smaller(CELLS, g->columns);
    adder a;
    int32_t row, x, j;
    prepare(&a, l);
    a.tables = at(s, s->scratch);
    a.sums = at(s, s->scratch + TABLE_WORDS * AT_ONCE);
    a.pitch = (size_t)(g->width + 2 * l->padding);
    a.cells.count = count;
    a.cells.step = l->stride;
    for (row = 0; row < l->size; row++) {
        rows[row] = ring_row(s, i, g->convolved * l->stride - l->padding + row);
    }
    open_pools(s, i);
    for (x = 0; x < g->columns; x += AT_ONCE) {
        int32_t first[WORDS], pairs = !WIDE_SUMS && l->narrow != NULL && l->bits <= 2 && count == CELLS;
        /* The last cells overlap those before: maxima may be taken twice. */
        for (j = 0; j < WORDS; j++) {
            first[j] = smaller(x + j * CELLS, g->columns - count);
            a.cells.at[j] = first[j] * l->stride;
            pairs = pairs && in_pairs(l, g, first[j], count);
        }
        add_up(&a, rows);
        if (l->bits == 0) {
            write_output(s, i, first, count, a.sums);
        } else if (pairs) {
            finish_pairs(s, i, first, a.sums);
        } else {
            finish(s, i, first, count, a.sums);
        }
    }
}

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

/* What a group adds to D, for the 4 bits of weights of its first two channels; entries are `step` words apart. */
INLINE void fill4(word *table, int step, word v0, word v1, word top, word others) {
    const word low = v0 + others, high = (v0 ^ top) + others;
    table[0] = low + v1;
    table[step] = high + v1;
    table[2 * step] = low + (v1 ^ top);
    table[3 * step] = high + (v1 ^ top);
}

/* For all 16 of four channels. Bit j is channel j's. */
static void fill16(word *table, word v0, word v1, word v2, word v3, word top) {
    fill4(table, 1, v0, v1, top, v2 + v3);
    fill4(table + 4, 1, v0, v1, top, (v2 ^ top) + v3);
    fill4(table + 8, 1, v0, v1, top, v2 + (v3 ^ top));
    fill4(table + 12, 1, v0, v1, top, (v2 ^ top) + (v3 ^ top));
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

/* For all 256 of eight channels. */
static void fill256(word *table, const uint8_t *line, size_t pitch, int32_t step, int32_t count, int bits) {
    word low[16], high[16];
    int32_t i, j;
    fill_from(low, line, pitch, step, count, bits);
    fill_from(high, line == NULL ? NULL : line + pitch, pitch, step, count, bits);
    for (i = 0; i < 16; i += 4) {
        const word a = low[i], b = low[i + 1], c = low[i + 2], d = low[i + 3];
        word *t = table + i;
        for (j = 0; j < 16; j += 2, t += 32) {
            const word more = high[j], most = high[j + 1];
            t[0] = a + more;
            t[1] = b + more;
            t[2] = c + more;
            t[3] = d + more;
            t[16] = a + most;
            t[17] = b + most;
            t[18] = c + most;
            t[19] = d + most;
        }
    }
}

/* The same for channels of the image: the even cells' bytes, in 16 bits each. Those of the odd cells are the even ones'
 * of a place one stride on, so that every table serves twice. */
INLINE void fill_image(word *table, const uint8_t *line, size_t pitch, int32_t step, int32_t left, int32_t channels,
                       int whole) {
    const int32_t here = line == NULL ? 0 : channels;
    const word v0 = here > 0 ? load_even(line, step, left, whole) : 0;
    const word v1 = here > 1 ? load_even(line + pitch, step, left, whole) : 0;
    const word v2 = here > 2 ? load_even(line + 2 * pitch, step, left, whole) : 0;
    const word v3 = here > 3 && IMAGE_CHANNELS == 4 ? load_even(line + 3 * pitch, step, left, whole) : 0;
    if (IMAGE_CHANNELS == 4) {
        fill16(table, v0, v1, v2, v3, EVEN);
    } else {
        fill4(table, 1, v0, v1, EVEN, v2);
        fill4(table + 4, 1, v0, v1, EVEN, v2 ^ EVEN);
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

INLINE void widen_image(sums_of *sums, const word *both) {
#if WIDE_SUMS
    int32_t c;
    for (c = 0; c < CELLS; c++) {
        sums->cells[c] += (uint32_t)(both[c & 1] >> (16 * (c >> 1))) & 0xffffu;
    }
#else
    sums->fields[0] += both[0];
    sums->fields[1] += both[1];
#endif
}

/* D is 0. Where D and limits are below 2^15 a bit is set above each, so that no difference borrows from the next. */
INLINE void clear(const layer *l, sums_of *sums) {
#if WIDE_SUMS
    (void)l;
    memset(sums, 0, sizeof *sums);
#else
    sums->fields[0] = sums->fields[1] = l->narrow != NULL ? FIELDS << 15 : 0;
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

/* Words of a filter's weights that stand together: two, then those of the next filter; the last one may be alone. */
INLINE int32_t words_together(const layer *l, int32_t index) {
    return smaller(2, l->words - index / 2 * 2);
}

/* The first filter's words from this one on. */
INLINE const uint32_t *weights_from(const layer *l, int32_t index) {
    return l->weights + index / 2 * 2 * l->filters + index % 2;
}

/* Add what the groups first .. first + n - 1 give to D of every filter. */
static void look_up(const layer *l, const word *tables, int32_t first, int32_t n, sums_of *sums) {
    const uint32_t *w = weights_from(l, first / 8);
    const sums_of *end = sums + l->filters;
    const int32_t together = words_together(l, first / 8);
    if (n == 16) {
        for (; sums != end; sums++, w += 2) {
            widen(sums, eight(tables, w[0]) + eight(tables + 8 * 16, w[1]));
        }
    } else {
        for (; sums != end; sums++, w += together) {
            const word *t = tables;
            word all = 0;
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
INLINE word four(const word *t, uint32_t bits) {
    return t[bits & 255] + t[256 + (bits >> 8 & 255)] + t[512 + (bits >> 16 & 255)] + t[768 + (bits >> 24)];
}

/* The same for pairs of groups. */
static void look_up_pairs(const layer *l, const word *tables, int32_t first, int32_t n, sums_of *sums) {
    const uint32_t *w = weights_from(l, first / 4);
    const sums_of *end = sums + l->filters;
    const int32_t together = words_together(l, first / 4);
    if (n == 8) {
        for (; sums != end; sums++, w += 2) {
            widen(sums, four(tables, w[0]) + four(tables + 1024, w[1]));
        }
    } else {
        for (; sums != end; sums++, w += together) {
            word all = 0;
            int32_t i;
            for (i = 0; i < n; i++) {
                all += tables[256 * i + (int32_t)(w[i / 4] >> (8 * (i % 4)) & 255)];
            }
            widen(sums, all);
        }
    }
}

/* What a group of the image gives to D; the odd cells' table is `odd` words on. */
INLINE void add_image(const word *table, int32_t odd, uint32_t bits, word *both) {
    const word *entry = table + (bits & (IMAGE_WORDS - 1));
    both[0] += entry[0];
    both[1] += entry[odd];
}

/* A window of 3x3 cells of one group. */
INLINE void add_nine(const word *t, int32_t row, int32_t odd, const uint32_t *w, word *both) {
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
static void look_up_image(const layer *l, const word *tables, int32_t first, int32_t n, sums_of *sums) {
    const int32_t in_a_row = l->size * IMAGE_GROUPS, odd = l->stride * IMAGE_GROUPS * IMAGE_WORDS;
    const int32_t row_words = in_a_row * IMAGE_WORDS + odd;
    int32_t f, row, i;
    for (f = 0; f < l->filters; f++, sums++) {
        word both[2] = {0, 0};
        if (IMAGE_GROUPS == 1 && l->size == 3 && n == 3) {
            add_nine(tables, row_words, odd, l->weights + 2 * f, both);
        } else {
            for (row = 0; row < n; row++) {
                for (i = 0; i < in_a_row; i++) {
                    const int32_t group = (first + row) * in_a_row + i;
                    const uint32_t *w = weights_from(l, group / 8) + f * words_together(l, group / 8);
                    add_image(tables + row * row_words + i * IMAGE_WORDS, odd, *w >> (4 * (group % 8)), both);
                }
            }
        }
        if (first == 0) {
            clear(l, sums);
        }
        widen_image(sums, both);
    }
}

/* The tables of some groups, and what they add whenever there is no room for more of them. */
typedef struct {
    const layer *of;
    word *tables;
    sums_of *sums;
    size_t pitch;         /* between two lines */
    int32_t count;        /* of cells */
    int32_t words;        /* of a table */
    int32_t first, n;     /* the first table that is there, and how many */
    int32_t chunk, total; /* how many may be there, and how many there are of the whole window */
} adder;

static void prepare(adder *a, const layer *l) {
    a->of = l;
    a->total = l->size * l->size * ((l->channels + l->group - 1) / l->group);
    /* So many that their bytes cannot overflow: 8 * 24, 16 * 12, 8 * 28, 4 * 60. */
    a->words = l->group == 8 ? 256 : 16;
    a->chunk = l->in_bits == 4 ? 4 : l->in_bits == 3 || l->group == 8 ? 8 : 16;
}

/* All groups of one cell of the window, whose first line is this. */
static void add_tap(adder *a, const uint8_t *line) {
    const layer *l = a->of;
    const size_t lines = l->in_bits > 2 || l->group == 8 ? 2 : 1;
    int32_t channel;
    for (channel = 0; channel < l->channels; channel += l->group) {
        word *table = a->tables + a->words * a->n;
        if (l->group == 8) {
            fill256(table, line, a->pitch, l->stride, a->count, l->in_bits);
        } else {
            fill_from(table, line, a->pitch, l->stride, a->count, l->in_bits);
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

/* D of all filters for the cells from column x of the image on: as many rows of the window at once as have room. */
static void add_up_image(const adder *a, const uint8_t *const *rows, int32_t x) {
    const layer *l = a->of;
    const int32_t places = l->size + l->stride, at_once = TABLE_WORDS / (places * IMAGE_GROUPS * IMAGE_WORDS);
    const int32_t pitch = (int32_t)a->pitch;
    const int whole = LITTLE_ENDIAN_BYTES && l->stride == 1 && x + l->size + CELLS - 1 <= pitch;
    int32_t first, row, place, channel;
    for (first = 0; first < l->size; first += at_once) {
        const int32_t end = smaller(first + at_once, l->size);
        word *table = a->tables;
        for (row = first; row < end; row++) {
            for (place = x * l->stride; place < x * l->stride + places; place++) {
                const uint8_t *line = rows[row] == NULL ? NULL : rows[row] + place;
                for (channel = 0; channel < NETWORK_CHANNELS; channel += 4, table += IMAGE_WORDS) {
                    fill_image(table, line, a->pitch, l->stride, pitch - place, NETWORK_CHANNELS - channel, whole);
                    line = line == NULL ? NULL : line + 4 * a->pitch;
                }
            }
        }
        look_up_image(l, a->tables, first, end - first, a->sums);
    }
}

/* D of all filters for the cells from column x on. */
static void add_up(adder *a, const uint8_t *const *rows, int32_t x) {
    const layer *l = a->of;
    int32_t row, column, f;
    if (l->in_bits > 4) {
        add_up_image(a, rows, x);
        return;
    }
    for (f = 0; f < l->filters; f++) {
        clear(l, &a->sums[f]);
    }
    a->first = a->n = 0;
    for (row = 0; row < l->size; row++) {
        for (column = 0; column < l->size; column++) {
            add_tap(a, rows[row] == NULL ? NULL : rows[row] + x * l->stride + column);
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

#if !WIDE_SUMS
/* With a bit set above each D it stays where D >= limit. Limits fall, so of three such bits a, b, c the first implies
 * the others: their number is b in twos and a ^ b ^ c in ones, and a level is 3 less it. */
INLINE word narrow_levels(const layer *l, int32_t f, const sums_of *sums) {
    const int32_t n = (1 << l->bits) - 1;
    const uint16_t *limits = l->narrow + f * n;
    const word even = sums->fields[0], odd = sums->fields[1];
    word not_even = 0, not_odd = 0;
    int32_t i;
    if (n == 3) {
        const word first = FIELDS * limits[0], second = FIELDS * limits[1], third = FIELDS * limits[2];
        const word twos = (even - second) >> 15 & FIELDS, odd_twos = (odd - second) >> 7 & FIELDS << 8;
        const word ones = ((even - first) ^ (even - second) ^ (even - third)) >> 15 & FIELDS;
        const word odd_ones = ((odd - first) ^ (odd - second) ^ (odd - third)) >> 7 & FIELDS << 8;
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
static word compare(const layer *l, int32_t f, const sums_of *sums) {
    const int32_t n = (1 << l->bits) - 1;
    int32_t i, c;
    word levels = 0;
#if !WIDE_SUMS
    if (l->narrow != NULL) {
        return narrow_levels(l, f, sums);
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

/* Pairs of neighbouring cells, pooled, of the filters of a line whose levels have 2 bits at most: bytes of a map in the
 * even bytes. A pair is at or above a limit where both cells are. The filters' bits enter at the top of each field. */
INLINE word pooled_pairs(const layer *l, int32_t f, int32_t here, const sums_of *sums) {
#if WIDE_SUMS
    (void)l, (void)f, (void)here, (void)sums;
    return 0; /* not reached: only narrow sums are paired */
#else
    const uint16_t *limits = l->narrow + f * (l->bits == 2 ? 3 : 1);
    word bits = 0;
    int32_t j;
    for (j = 0; j < here; j++, sums++) {
        const word even = sums->fields[0], odd = sums->fields[1];
        const word first = FIELDS * *limits++, above = (even - first) & (odd - first);
        if (l->bits == 2) {
            const word second = FIELDS * *limits++, third = FIELDS * *limits++;
            const word twos = (even - second) & (odd - second), last = (even - third) & (odd - third);
            bits = bits >> 2 | (twos & FIELDS << 15) | ((above ^ twos ^ last) & FIELDS << 15) >> 1;
        } else {
            bits = bits >> 2 | (above & FIELDS << 15) >> 1;
        }
    }
    bits = bits >> (16 - 2 * here) ^ FIELDS * ((1u << (2 * here)) - 1);
    return l->bits == 2 ? bits : bits & FIELDS * 0x55;
#endif
}

static void write_output(stream *s, int i, int32_t x, int32_t count, const sums_of *sums) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const size_t plane = (size_t)g->rows * (size_t)g->columns;
    int32_t *to = s->output.pointer + (size_t)g->convolved * (size_t)g->columns + (size_t)x;
    int32_t f, c;
    for (f = 0; f < l->filters; f++, sums++, to += plane) {
        for (c = 0; c < count; c++) {
            to[c] = l->multipliers[f] * (l->base[f] - (int32_t)get(sums, c)) + l->biases[f];
        }
    }
}

/* Cells x .. x + count - 1 of the row at work, from D: into the next layer's ring, or into the rows that are pooled. */
static void finish(stream *s, int i, int32_t x, int32_t count, const sums_of *sums) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const int32_t in_a_line = levels_in_a_byte(l->bits), bits = 8 / in_a_line;
    const int pairs = !WIDE_SUMS && l->narrow != NULL && l->bits <= 2 && count == CELLS && in_pairs(l, g, x, count);
    uint8_t *best = NULL;
    spans columns;
    int32_t f, j, line = 0;
    if (pairs && g->first_row <= g->last_row) {
        best = open_line(s, i, g->first_row, 0) + x / 2;
    } else if (!pairs && !is_direct(l)) {
        find_spans(l, g->out_width, x, count, &columns);
    }
    for (f = 0; f < l->filters; f += in_a_line, sums += in_a_line, line++) {
        const int32_t here = smaller(in_a_line, l->filters - f);
        word bytes = 0;
        if (pairs) {
            if (best != NULL) {
                pool_pairs(best + line * g->out_width, pooled_pairs(l, f, here, sums));
            }
            continue;
        }
        for (j = 0; j < here; j++) {
            bytes |= compare(l, f + j, sums + j) << (bits * j);
        }
        if (is_direct(l)) {
            store(to_ring(s, i, line) + x, bytes ^ BYTES * l->flips[line], count);
        } else {
            pool(s, i, line, &columns, count, bytes);
        }
    }
}

static void convolve_row(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const uint8_t *rows[LARGEST_SIZE];
    adder a;
    int32_t row, x = 0;
    prepare(&a, l);
    a.tables = at(s, s->scratch);
    a.sums = at(s, s->scratch + TABLE_WORDS * CELLS);
    a.pitch = (size_t)(g->width + 2 * l->padding);
    a.count = smaller(CELLS, g->columns);
    for (row = 0; row < l->size; row++) {
        rows[row] = ring_row(s, i, g->convolved * l->stride - l->padding + row);
    }
    open_pools(s, i);
    for (;;) {
        add_up(&a, rows, x);
        if (l->bits == 0) {
            write_output(s, i, x, a.count, a.sums);
        } else {
            finish(s, i, x, a.count, a.sums);
        }
        if (x + a.count == g->columns) {
            return;
        }
        /* The last cells overlap those before: maxima may be taken twice. */
        x = smaller(x + a.count, g->columns - a.count);
    }
}

/* ------------------------------------------------------------------------------------------------------------------
 * Maps as planes of bits: a cell is [word of 32 channels][plane], a row of cells has the padding's cells at both ends.
 *
 * With w the bit of a weight (1 for +1) and x_p plane p of the levels, each of k bits, B the number of a filter's +1:
 *
 *     sum of sign * level = (2^k - 1) B - D,     D = sum over p of 2^p popcount(w ^ x_p)
 *
 * since (2w - 1) x = x w - x (1 - w) and w ^ x = w + x - 2 w x. So sum > threshold means D < limit, where the limits
 * have (2^k - 1) B in them already. Padding is level 0 and needs no care. A level is the number of limits above D.
 * The maximum over a pooling window is taken of the levels, before a flip turns them round.
 */

static int32_t words_of(int32_t channels) {
    return (channels + 31) / 32;
}

static uint32_t ring_row_bytes(const layer *l, int i, int32_t width) {
    const int32_t cells = width + 2 * l->padding;
    return i == 0 ? (uint32_t)(cells * NETWORK_CHANNELS + 3) / 4u * 4u
                  : 4u * (uint32_t)cells * (uint32_t)(words_of(l->channels) * l->in_bits);
}

static uint32_t open_row_bytes(const layer *l, int32_t out_width) {
    return 4u * (uint32_t)out_width * (uint32_t)(words_of(l->filters) * l->bits);
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
    memcpy(to + layers[0].padding * NETWORK_CHANNELS, row, (size_t)g->width * NETWORK_CHANNELS);
}

/* s + a + b = s' + 2 c, bit by bit: a full adder; and s + a = s' + 2 c, a half adder. */
#define ADD3(s, c, a, b)              \
    do {                              \
        const uint32_t u_ = (s) ^ (a); \
        (c) = ((s) & (a)) | (u_ & (b)); \
        (s) = u_ ^ (b);               \
    } while (0)
#define ADD2(s, c, a)    \
    do {                 \
        (c) = (s) & (a); \
        (s) ^= (a);      \
    } while (0)

/* Bits of a word, counted in its 4-bit fields. */
INLINE uint32_t in_nibbles(uint32_t v) {
    v -= (v >> 1) & 0x55555555u;
    return (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
}

INLINE uint32_t in_bytes(uint32_t nibbles) {
    return (nibbles & 0x0f0f0f0fu) + ((nibbles >> 4) & 0x0f0f0f0fu);
}

/* popcount(v1) + 2 popcount(v2) + 4 popcount(v4) + 8 popcount(v8), in bytes of at most 8 * 15. */
INLINE uint32_t weigh4(uint32_t v1, uint32_t v2, uint32_t v4, uint32_t v8) {
    const uint32_t low = in_nibbles(v1) + 2 * in_nibbles(v2), high = in_nibbles(v4) + 2 * in_nibbles(v8);
    return in_bytes(low) + 4 * in_bytes(high);
}

INLINE uint32_t sum_of_bytes(uint32_t bytes) {
    const uint32_t halves = (bytes & 0x00ff00ffu) + ((bytes >> 8) & 0x00ff00ffu);
    return (halves + (halves >> 16)) & 0xffffu;
}

/* Words that a carry-save adder takes before its counters must be emptied: 3 * FEW < 16, 3 * MANY < 128. */
#define FEW 5
#define MANY 42

/* D of LANES filters, added to sums, for levels of 2 bits and at most FEW words a plane; weights are [word][TILE]. */
INLINE void add_few(const uint32_t *w, const uint32_t *x, int32_t n, uint32_t *sums) {
    uint32_t v1[LANES] = {0}, v2[LANES] = {0}, v4[LANES] = {0}, v8[LANES] = {0};
    int l;
    for (; n > 0; n--, w += TILE, x += 2) {
        for (l = 0; l < LANES; l++) {
            uint32_t c2, c4, d4, c8;
            ADD2(v1[l], c2, w[l] ^ x[0]);
            ADD3(v2[l], c4, w[l] ^ x[1], c2);
            ADD2(v4[l], d4, c4);
            c8 = d4;
            v8[l] ^= c8;
        }
    }
    for (l = 0; l < LANES; l++) {
        sums[l] += sum_of_bytes(weigh4(v1[l], v2[l], v4[l], v8[l]));
    }
}

/* The same for at most MANY words. */
INLINE void add_many(const uint32_t *w, const uint32_t *x, int32_t n, uint32_t *sums) {
    uint32_t v1[LANES] = {0}, v2[LANES] = {0}, v4[LANES] = {0}, v8[LANES] = {0};
    uint32_t v16[LANES] = {0}, v32[LANES] = {0}, v64[LANES] = {0};
    int l;
    for (; n >= 4; n -= 4, w += 4 * TILE, x += 8) {
        for (l = 0; l < LANES; l++) {
            uint32_t c2, c4, d4, c8, d8, c16, c32, c64;
            ADD3(v1[l], c2, w[l] ^ x[0], w[l + TILE] ^ x[2]);
            ADD3(v2[l], c4, w[l] ^ x[1], w[l + TILE] ^ x[3]);
            ADD2(v2[l], d4, c2);
            ADD3(v4[l], c8, c4, d4);
            ADD3(v1[l], c2, w[l + 2 * TILE] ^ x[4], w[l + 3 * TILE] ^ x[6]);
            ADD3(v2[l], c4, w[l + 2 * TILE] ^ x[5], w[l + 3 * TILE] ^ x[7]);
            ADD2(v2[l], d4, c2);
            ADD3(v4[l], d8, c4, d4);
            ADD3(v8[l], c16, c8, d8);
            ADD2(v16[l], c32, c16);
            ADD2(v32[l], c64, c32);
            v64[l] ^= c64;
        }
    }
    for (; n > 0; n--, w += TILE, x += 2) {
        for (l = 0; l < LANES; l++) {
            uint32_t c2, c4, c8, c16, c32, c64;
            ADD2(v1[l], c2, w[l] ^ x[0]);
            ADD3(v2[l], c4, w[l] ^ x[1], c2);
            ADD2(v4[l], c8, c4);
            ADD2(v8[l], c16, c8);
            ADD2(v16[l], c32, c16);
            ADD2(v32[l], c64, c32);
            v64[l] ^= c64;
        }
    }
    for (l = 0; l < LANES; l++) {
        sums[l] += sum_of_bytes(weigh4(v1[l], v2[l], v4[l], v8[l])) +
                   16 * sum_of_bytes(weigh4(v16[l], v32[l], v64[l], 0));
    }
}

/* The same for levels of any number of bits. */
static void add_any(const uint32_t *w, const uint32_t *x, int32_t n, int bits, uint32_t *sums) {
    for (; n > 0; n--, w += TILE) {
        int p, l;
        for (p = 0; p < bits; p++, x++) {
            for (l = 0; l < LANES; l++) {
                sums[l] += sum_of_bytes(in_bytes(in_nibbles(w[l] ^ *x))) << p;
            }
        }
    }
}

/* D of the filters of a tile. */
static void distances(const layer *l, const uint32_t *w, const uint32_t *x, uint32_t *sums) {
    int lane;
    for (lane = 0; lane < TILE; lane += LANES, w += LANES, sums += LANES) {
        const uint32_t *from = w, *cells = x;
        int32_t left = l->words;
        memset(sums, 0, LANES * sizeof *sums);
        if (l->in_bits != 2) {
            add_any(w, x, left, l->in_bits, sums);
        } else if (left <= FEW) {
            add_few(w, x, left, sums);
        } else {
            for (; left > 0; left -= MANY, from += MANY * TILE, cells += 2 * MANY) {
                add_many(from, cells, smaller(left, MANY), sums);
            }
        }
    }
}

/* D of the filters of a tile for the image: limit - sum, where sum = Q - 2 M, with Q the sum of the window's bytes and
 * M of those whose weight is -1. Two filters in a word: weights are [byte][TILE / 2] of 1 and 1 << 16. */
static void image_distances(const layer *l, const uint32_t *w, const uint8_t *x, uint32_t *sums) {
    int32_t left = l->words, j;
    uint32_t all = 0;
    int lane;
    memset(sums, 0, TILE * sizeof *sums);
    while (left > 0) {
        const int32_t n = smaller(left, 257); /* 257 * 255 is the largest 16-bit number */
#if LANES == TILE
        uint16_t m[TILE] = {0};
        for (j = 0; j < n; j++, w += TILE / 2) {
            const uint16_t byte = x[j];
            uint16_t taken[TILE];
            memcpy(taken, w, sizeof taken);
            all += byte;
            for (lane = 0; lane < TILE; lane++) {
                m[lane] = (uint16_t)(m[lane] + (uint32_t)byte * taken[lane]);
            }
        }
        for (lane = 0; lane < TILE; lane++) {
            sums[lane] += 2u * m[lane];
        }
#else
        uint32_t m0 = 0, m1 = 0, m2 = 0, m3 = 0;
        for (j = 0; j < n; j++, w += TILE / 2) {
            const uint32_t byte = x[j];
            all += byte;
            m0 += byte * w[0];
            m1 += byte * w[1];
            m2 += byte * w[2];
            m3 += byte * w[3];
        }
        sums[0] += 2 * (m0 & 0xffffu);
        sums[1] += 2 * (m0 >> 16);
        sums[2] += 2 * (m1 & 0xffffu);
        sums[3] += 2 * (m1 >> 16);
        sums[4] += 2 * (m2 & 0xffffu);
        sums[5] += 2 * (m2 >> 16);
        sums[6] += 2 * (m3 & 0xffffu);
        sums[7] += 2 * (m3 >> 16);
#endif
        x += n;
        left -= n;
    }
    for (lane = 0; lane < TILE; lane++) {
        sums[lane] += 255u * (uint32_t)l->words - all;
    }
}

/* The levels of a tile's filters as bytes of planes: bit f of planes[p] is bit p of the level of filter f. */
static void compare(const layer *l, int32_t tile, const uint32_t *sums, uint32_t *planes) {
    const int32_t n = (1 << l->bits) - 1;
    const uint16_t *narrow = l->narrow + (l->wide == NULL ? tile * n * TILE : 0);
    uint32_t levels[TILE] = {0};
    int32_t i;
    int p, f;
    if (l->wide != NULL) {
        const uint32_t *wide = l->wide + tile * n * TILE;
        for (i = 0; i < n; i++, wide += TILE) {
            for (f = 0; f < TILE; f++) {
                levels[f] += (sums[f] - wide[f]) >> 31;
            }
        }
    } else if (l->bits == 2) {
        for (f = 0; f < TILE; f++) {
            levels[f] = ((sums[f] - narrow[f]) >> 31) + ((sums[f] - narrow[f + TILE]) >> 31) +
                        ((sums[f] - narrow[f + 2 * TILE]) >> 31);
        }
    } else {
        for (i = 0; i < n; i++, narrow += TILE) {
            for (f = 0; f < TILE; f++) {
                levels[f] += (sums[f] - narrow[f]) >> 31;
            }
        }
    }
#if LANES == TILE
    {
        /* The product moves bit 0 of byte f to bit 56 + f. */
        uint64_t all;
        uint8_t bytes[TILE];
        for (f = 0; f < TILE; f++) {
            bytes[f] = (uint8_t)levels[f];
        }
        memcpy(&all, bytes, sizeof all);
        for (p = 0; p < l->bits; p++) {
            planes[p] = (uint32_t)(((all >> p & 0x0101010101010101u) * 0x0102040810204080u) >> 56);
        }
    }
#else
    for (p = 0; p < l->bits; p++) {
        uint32_t plane = 0;
        for (f = TILE - 1; f >= 0; f--) {
            plane = plane << 1 | (levels[f] >> p & 1u);
        }
        planes[p] = plane;
    }
#endif
}

/* The levels of one cell of a convolution, [word][plane], before pool and flips. */
static void convolve_cell(const layer *l, int i, const void *window, uint32_t *cell) {
    const int32_t tiles = (l->filters + TILE - 1) / TILE;
    const int32_t step_of = i == 0 ? TILE / 2 : TILE;
    int32_t tile;
    memset(cell, 0, 4 * (size_t)(words_of(l->filters) * l->bits));
    for (tile = 0; tile < tiles; tile++) {
        const uint32_t *w = l->weights + (size_t)(tile * l->words) * (size_t)step_of;
        uint32_t sums[TILE], planes[4];
        int p;
        if (i == 0) {
            image_distances(l, w, window, sums);
        } else {
            distances(l, w, window, sums);
        }
        compare(l, tile, sums, planes);
        for (p = 0; p < l->bits; p++) {
            cell[tile * TILE / 32 * l->bits + p] |= planes[p] << (tile * TILE % 32);
        }
    }
}

/* One cell of the output map: multiplier * sum + bias, where sum = base - D. */
static void finish_cell(stream *s, int i, const void *window, int32_t x) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    int32_t f, lane;
    for (f = 0; f < l->filters; f += TILE) {
        uint32_t sums[TILE];
        const size_t skipped = (size_t)(f / TILE * l->words);
        if (i == 0) {
            image_distances(l, l->weights + skipped * (TILE / 2), window, sums);
        } else {
            distances(l, l->weights + skipped * TILE, window, sums);
        }
        for (lane = 0; lane < smaller(TILE, l->filters - f); lane++) {
            const int32_t sum = l->base[f + lane] - (int32_t)sums[lane];
            const size_t place = ((size_t)(f + lane) * (size_t)g->rows + (size_t)g->convolved) * (size_t)g->columns;
            s->output.pointer[place + (size_t)x] = l->multipliers[f + lane] * sum + l->biases[f + lane];
        }
    }
}

/* The window that begins at column x of these rows, its cells' bits without gaps: [word][plane]. */
static void gather(const layer *l, const uint8_t *const *rows, int32_t x, uint32_t *window) {
    const int32_t words = words_of(l->channels), cell = words * l->in_bits;
    int32_t row, column, word;
    int p;
    if (l->channels % 32 == 0) {
        for (row = 0; row < l->size; row++, window += l->size * cell) {
            if (rows[row] == NULL) {
                memset(window, 0, 4 * (size_t)(l->size * cell));
            } else {
                memcpy(window, rows[row] + 4 * x * cell, 4 * (size_t)(l->size * cell));
            }
        }
        return;
    }
    for (p = 0; p < l->in_bits; p++) {
        uint32_t bits = 0, *to = window + p;
        int used = 0;
        for (row = 0; row < l->size; row++) {
            const uint32_t *from = rows[row] == NULL ? NULL : (const uint32_t *)(const void *)rows[row] + x * cell + p;
            for (column = 0; column < l->size; column++) {
                for (word = 0; word < words; word++) {
                    const int more = (int)smaller(32, l->channels - 32 * word);
                    const uint32_t value = from == NULL ? 0 : *from;
                    from = from == NULL ? NULL : from + l->in_bits;
                    bits |= value << used;
                    if (used + more < 32) {
                        used += more;
                        continue;
                    }
                    *to = bits;
                    to += l->in_bits;
                    bits = used == 0 ? 0 : value >> (32 - used);
                    used += more - 32;
                }
            }
        }
        if (used != 0) {
            *to = bits;
        }
    }
}

static void gather_image(const layer *l, const uint8_t *const *rows, int32_t x, uint8_t *window) {
    const size_t bytes = (size_t)l->size * NETWORK_CHANNELS;
    int32_t row;
    for (row = 0; row < l->size; row++, window += bytes) {
        if (rows[row] == NULL) {
            memset(window, 0, bytes);
        } else {
            memcpy(window, rows[row] + x * NETWORK_CHANNELS, bytes);
        }
    }
}

/* best = max(best, cell), for each channel. */
static void take_larger(uint32_t *best, const uint32_t *cell, int32_t words, int bits) {
    for (; words > 0; words--, best += bits, cell += bits) {
        uint32_t larger = 0, equal = UINT32_MAX;
        int p;
        for (p = bits - 1; p >= 0; p--) {
            larger |= equal & cell[p] & ~best[p];
            equal &= ~(cell[p] ^ best[p]);
        }
        for (p = 0; p < bits; p++) {
            best[p] ^= (best[p] ^ cell[p]) & larger;
        }
    }
}

/* Put a cell of the convolution into every pooling window that holds it: those of the columns first to last. */
static void pool(stream *s, int i, int32_t x, int32_t first, int32_t last, const uint32_t *cell) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const int32_t before = l->pool_padding / 2, words = words_of(l->filters) * l->bits, y = g->convolved;
    int32_t row, column;
    for (row = g->first_row; row <= g->last_row; row++) {
        const int32_t top = row * l->pool_stride - before;
        uint32_t *open = at(s, g->open + (uint32_t)(row % open_rows(l)) * g->open_row);
        for (column = first; column <= last; column++) {
            const int32_t left = column * l->pool_stride - before;
            uint32_t *best = open + column * words;
            if (y == (top < 0 ? 0 : top) && x == (left < 0 ? 0 : left)) {
                memcpy(best, cell, 4 * (size_t)words);
            } else {
                take_larger(best, cell, words_of(l->filters), l->bits);
            }
        }
    }
}

/* A finished cell, with its flips, into the ring of the next layer. */
static void emit_cell(stream *s, int i, int32_t x, const uint32_t *cell) {
    const layer *l = &layers[i];
    const stage *next = &s->stages[i + 1];
    const int32_t words = words_of(l->filters);
    uint32_t *to = at(s, next->ring + (uint32_t)(next->received % layers[i + 1].size) * next->ring_row);
    int32_t word;
    int p;
    to += (layers[i + 1].padding + x) * words * l->bits;
    for (word = 0; word < words; word++) {
        for (p = 0; p < l->bits; p++) {
            to[word * l->bits + p] = cell[word * l->bits + p] ^ l->flips[word];
        }
    }
#ifdef NETWORK_TRACE
    for (word = 0; word < l->filters; word++) {
        int level = 0;
        for (p = 0; p < l->bits; p++) {
            level |= (int)((to[word / 32 * l->bits + p] >> (word % 32)) & 1u) << p;
        }
        network_trace(i, (int)s->stages[i].emitted, (int)x, (int)word, level);
    }
#endif
}

static void emit_pooled(stream *s, int i, int32_t slot) {
    const stage *g = &s->stages[i];
    const uint32_t *open = at(s, g->open + (uint32_t)slot * g->open_row);
    int32_t x;
    for (x = 0; x < g->out_width; x++) {
        emit_cell(s, i, x, open + x * words_of(layers[i].filters) * layers[i].bits);
    }
}

static void convolve_row(stream *s, int i) {
    const layer *l = &layers[i];
    const stage *g = &s->stages[i];
    const uint8_t *rows[LARGEST_SIZE];
    uint32_t *window = at(s, s->scratch), *cell = window + WINDOW_WORDS;
    int32_t x, row, first = 0, last = -1;
    for (row = 0; row < l->size; row++) {
        rows[row] = ring_row(s, i, g->convolved * l->stride - l->padding + row);
    }
    for (x = 0; x < g->columns; x++) {
        if (i == 0) {
            gather_image(l, rows, x * l->stride, (uint8_t *)window);
        } else {
            gather(l, rows, x * l->stride, window);
        }
        if (l->bits == 0) {
            finish_cell(s, i, window, x);
            continue;
        }
        convolve_cell(l, i, window, cell);
        if (l->pool_size != 0) {
            next_windows(l, g->out_width, x, &first, &last);
            pool(s, i, x, first, last, cell);
        } else {
            emit_cell(s, i, x, cell);
        }
    }
}

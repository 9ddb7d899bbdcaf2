/* ------------------------------------------------------------------------------------------------------------------
 * The stream: rows of the image go in, each layer works as soon as it has the rows of a window, and keeps no more of
 * them than that.
 */

typedef struct {
    int32_t width, height;         /* of the input map */
    int32_t columns, rows;         /* of the convolution's */
    int32_t out_width, out_height; /* of the output map, pooled */
    int32_t received, convolved, emitted; /* rows so far of the three */
    int32_t first_row, last_row;          /* pooling windows that hold the row at work */
    uint32_t ring, open;           /* offsets in the arena: input rows; rows of pooling windows that are not complete */
    uint32_t ring_row, open_row;   /* bytes of one row */
} stage;

typedef struct {
    uint32_t magic;
    uint32_t scratch; /* its offset */
    union {
        int32_t *pointer;
        uint64_t bits;
    } output;
    stage stages[NETWORK_LAYERS];
} stream;

#define MAGIC 0x49465131u
#define MAX_SIDE 16384
#define STATE_BYTES ((16u + 60u * NETWORK_LAYERS + 7u) / 8u * 8u)

/* Does not compile where the header's sizes are not this machine's. */
typedef char stream_fits[sizeof(stream) <= STATE_BYTES ? 1 : -1];

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* How many windows stand along a side; 0 if none. */
static int32_t windows(int32_t side, int32_t size, int32_t stride, int32_t padding) {
    return side + padding < size ? 0 : (side + padding - size) / stride + 1;
}

/* The pooling windows that hold a column, from those that hold the column before: no division for each. */
static void next_windows(const layer *l, int32_t cells, int32_t x, int32_t *first, int32_t *last) {
    const int32_t before = l->pool_padding / 2;
    while (*first * l->pool_stride - before + l->pool_size <= x) {
        ++*first;
    }
    while (*last + 1 < cells && (*last + 1) * l->pool_stride - before <= x) {
        ++*last;
    }
}

/* Whether its levels go straight to the next layer: there is no pool. */
static int is_direct(const layer *l) {
    return l->pool_size == 1 && l->pool_stride == 1 && l->pool_padding == 0;
}

static int32_t open_rows(const layer *l) {
    return l->pool_size == 0 || is_direct(l) ? 0 : (l->pool_size + l->pool_stride - 1) / l->pool_stride;
}

static void *at(stream *s, uint32_t offset) {
    return (uint8_t *)(void *)s + offset;
}

/* What the form of the maps decides, below. */
static uint32_t ring_row_bytes(const layer *l, int i, int32_t width); /* of a row of a map with its padding */
static size_t ring_bytes(const layer *l, int i, int32_t width);       /* of all that a layer keeps of its input */
static void clear_ring(stream *s, int i);
static void take_row(stream *s, const uint8_t *row); /* of the image, into its ring */
static int32_t rows_kept(const layer *l); /* behind one another */
static uint32_t open_row_bytes(const layer *l, int32_t columns, int32_t out_width);
static void convolve_row(stream *s, int i);
static void emit_row(stream *s, int i);

/* Lay the arena out; returns its bytes, 0 for a size that the network cannot take. */
static size_t lay_out(stream *s, int32_t width, int32_t height) {
    size_t end = STATE_BYTES;
    int i;
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || width % NETWORK_STRIDE != 0 ||
        height % NETWORK_STRIDE != 0) {
        return 0;
    }
    for (i = 0; i < NETWORK_LAYERS; i++) {
        const layer *l = &layers[i];
        stage g;
        memset(&g, 0, sizeof g);
        g.width = width;
        g.height = height;
        g.columns = windows(width, l->size, l->stride, 2 * l->padding);
        g.rows = windows(height, l->size, l->stride, 2 * l->padding);
        g.out_width = l->pool_size == 0 ? g.columns : windows(g.columns, l->pool_size, l->pool_stride, l->pool_padding);
        g.out_height = l->pool_size == 0 ? g.rows : windows(g.rows, l->pool_size, l->pool_stride, l->pool_padding);
        if (g.columns < 1 || g.rows < 1 || g.out_width < 1 || g.out_height < 1 || g.out_width > MAX_SIDE ||
            g.out_height > MAX_SIDE) {
            return 0;
        }
        g.last_row = -1;
        g.ring = (uint32_t)end;
        g.ring_row = ring_row_bytes(l, i, width);
        end += ring_bytes(l, i, width);
        g.open = (uint32_t)end;
        g.open_row = rows_kept(l) == 0 ? 0 : open_row_bytes(l, g.columns, g.out_width);
        end += (size_t)g.open_row * (size_t)rows_kept(l);
        end = (end + 7) / 8 * 8;
        width = g.out_width;
        height = g.out_height;
        if (s != NULL) {
            s->stages[i] = g;
        }
    }
    if (s != NULL) {
        s->scratch = (uint32_t)end;
    }
    end += SCRATCH_BYTES;
    return end > UINT32_MAX / 2 ? 0 : end;
}

size_t network_arena_bytes(int32_t width, int32_t height) {
    return lay_out(NULL, width, height);
}

/* Work of one layer until it has made a row of its output map (1) or can do no more (0). */
static int step(stream *s, int i) {
    const layer *l = &layers[i];
    stage *g = &s->stages[i];
    const int32_t before = l->pool_padding / 2;
    for (;;) {
        int32_t last;
        if (l->pool_size != 0 && g->emitted < g->out_height) {
            last = smaller(g->emitted * l->pool_stride - before + l->pool_size, g->rows);
            if (last <= g->convolved) {
                emit_row(s, i);
                break;
            }
        }
        last = smaller(g->convolved * l->stride - l->padding + l->size, g->height);
        if (g->convolved == g->rows || last > g->received) {
            return 0;
        }
        if (l->pool_size != 0) {
            next_windows(l, g->out_height, g->convolved, &g->first_row, &g->last_row);
        }
        convolve_row(s, i);
        g->convolved++;
    }
    g->emitted++;
    s->stages[i + 1].received++;
    return 1;
}

int network_begin(void *arena, size_t arena_bytes, int32_t width, int32_t height, int32_t *output) {
    stream *s = arena;
    size_t needed;
    int i;
    if (arena == NULL || output == NULL || (uintptr_t)arena % 8 != 0) {
        return NETWORK_BAD_ARGUMENT;
    }
    needed = network_arena_bytes(width, height);
    if (needed == 0) {
        return NETWORK_BAD_SIZE;
    }
    if (arena_bytes < needed) {
        return NETWORK_SMALL_ARENA;
    }
    memset(s, 0, sizeof *s);
    (void)lay_out(s, width, height);
    s->output.pointer = output;
    for (i = 0; i < NETWORK_LAYERS; i++) {
        clear_ring(s, i);
    }
    s->magic = MAGIC;
    return NETWORK_OK;
}

int network_row(void *arena, const uint8_t *row) {
    stream *s = arena;
    stage *g;
    int i = 0;
    if (arena == NULL || row == NULL || (uintptr_t)arena % 8 != 0) {
        return NETWORK_BAD_ARGUMENT;
    }
    g = &s->stages[0];
    if (s->magic != MAGIC || g->received >= g->height) {
        return NETWORK_BAD_ORDER;
    }
    take_row(s, row);
    g->received++;
    /* Each layer's row goes down as far as it can before the layer makes its next one. */
    while (i >= 0) {
        i += step(s, i) ? 1 : -1;
    }
    return NETWORK_OK;
}

int network_end(void *arena) {
    stream *s = arena;
    if (arena == NULL || (uintptr_t)arena % 8 != 0) {
        return NETWORK_BAD_ARGUMENT;
    }
    if (s->magic != MAGIC || s->stages[0].received != s->stages[0].height) {
        return NETWORK_BAD_ORDER;
    }
    s->magic = 0;
    return NETWORK_OK;
}

int network_run(void *arena, size_t arena_bytes, const uint8_t *image, int32_t width, int32_t height, int32_t *output) {
    int status;
    int32_t y;
    if (image == NULL) {
        return NETWORK_BAD_ARGUMENT;
    }
    status = network_begin(arena, arena_bytes, width, height, output);
    for (y = 0; status == NETWORK_OK && y < height; y++) {
        status = network_row(arena, image + (size_t)y * (size_t)width * NETWORK_CHANNELS);
    }
    return status == NETWORK_OK ? network_end(arena) : status;
}

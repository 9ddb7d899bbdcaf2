#if NETWORK_CELLS >= 8
typedef uint64_t word;
#define CELLS 8 /* of a word */
#else
typedef uint32_t word;
#define CELLS 4
#endif
#define AT_ONCE NETWORK_CELLS
#define BYTES ((word)-1 / 255)       /* 1 in every byte */
#define FIELDS ((word)-1 / 65535)    /* 1 in every 16 bits */
#define EVEN (FIELDS * 255)          /* the bytes of the even cells */

#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)
#define LITTLE_ENDIAN_BYTES (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
#elif defined(_M_X64) || defined(_M_IX86) || defined(_M_ARM64)
#define LITTLE_ENDIAN_BYTES 1
#else
#define LITTLE_ENDIAN_BYTES 0
#endif

/* Channels of the image that a table is for, its words, and how many such groups of channels there are. */
#define IMAGE_CHANNELS (NETWORK_CHANNELS > 3 ? 4 : 3)
#define IMAGE_WORDS (NETWORK_CHANNELS > 3 ? 16 : 8)
#define IMAGE_GROUPS ((NETWORK_CHANNELS + 3) / 4)

/* What a table gives for the cells that are worked on at once: a word, or two in a vector, as GCC and Clang have them for
 * every machine: they share the work of finding them, and are added at once where the machine can. */
#if NETWORK_CELLS > 8
#define WORDS 2
typedef word entry __attribute__((vector_size(16), aligned(8)));
#define WORD_OF(e, i) ((e)[i])
#define NONE ((entry){0, 0})
#else
#define WORDS 1
typedef word entry;
#define WORD_OF(e, i) (e)
#define NONE ((entry)0)
#endif

/* D of the cells of each filter: 16 bits each, even cells and odd ones, or 32 bits where they may need them. */
#if WIDE_SUMS
typedef struct {
    uint32_t cells[AT_ONCE];
} sums_of;
#else
typedef struct {
    entry even, odd;
} sums_of;
#endif

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Levels in a byte of a map, and bytes of a cell. */
INLINE int32_t levels_in_a_byte(int bits) {
    return bits > 2 ? 2 : 4;
}

INLINE int32_t lines_of(int32_t channels, int bits) {
    return (channels + 3) / 4 * (bits > 2 ? 2 : 1);
}

#if LITTLE_ENDIAN_BYTES && CELLS == 8 && !VECTORS && NETWORK_CHANNELS == 3
/* Bytes 0, 3 and 6 of a word side by side. */
INLINE word every_third(word w) {
    return (w & 255) | (w >> 16 & 0xff00) | (w >> 32 & 0xff0000);
}
#endif

/* Pixels to a plane for each channel, `pitch` bytes apart. */
static void split_row(const uint8_t *row, uint8_t *to, int32_t pitch, int32_t width) {
    int32_t x = 0;
#if NETWORK_CHANNELS == 3
#if VECTORS
    for (; x + 16 <= width; x += 16) {
        split_pixels(row + 3 * x, to + x, to + pitch + x, to + 2 * pitch + x);
    }
#endif
#if LITTLE_ENDIAN_BYTES && CELLS == 8 && !VECTORS
    for (; x + 8 <= width; x += 8) {
        word w[3], planes[3];
        memcpy(w, row + 3 * x, sizeof w);
        planes[0] = every_third(w[0]) | every_third(w[1] >> 8) << 24 | every_third(w[2] >> 16) << 48;
        planes[1] = every_third(w[0] >> 8) | every_third(w[1] >> 16) << 24 | every_third(w[2]) << 40;
        planes[2] = every_third(w[0] >> 16) | every_third(w[1]) << 16 | every_third(w[2] >> 8) << 40;
        memcpy(to + x, &planes[0], sizeof(word));
        memcpy(to + pitch + x, &planes[1], sizeof(word));
        memcpy(to + 2 * pitch + x, &planes[2], sizeof(word));
    }
#endif
    for (; x < width; x++) {
        to[x] = row[3 * x];
        to[pitch + x] = row[3 * x + 1];
        to[2 * pitch + x] = row[3 * x + 2];
    }
#else
    for (; x < width; x++) {
        int32_t c;
        for (c = 0; c < NETWORK_CHANNELS; c++) {
            to[c * pitch + x] = row[x * NETWORK_CHANNELS + c];
        }
    }
#endif
}

/* The larger one of each byte; all are below 128. */
INLINE word larger_bytes(word a, word b) {
    const word is_a = ((a | BYTES << 7) - b) >> 7 & BYTES;
    return b ^ ((a ^ b) & is_a * 255);
}

/* The larger one of each level of two maps' bytes. */
INLINE word larger_levels(int bits, word a, word b) {
    const word ones = BYTES * 0x55, a_twos = a >> 1, b_twos = b >> 1;
    if (bits > 2) {
        return larger_bytes(a & BYTES * 15, b & BYTES * 15) | larger_bytes(a >> 4 & BYTES * 15, b >> 4 & BYTES * 15) << 4;
    }
    /* The lower bit counts where the upper one is not below the other's. */
    return ((a | b) & ones << 1) | (((a & (a_twos | ~b_twos)) | (b & (b_twos | ~a_twos))) & ones);
}


#if NETWORK_CELLS == 8
typedef uint64_t word;
#else
typedef uint32_t word;
#endif
#define CELLS NETWORK_CELLS
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

/* Channels of the image that a table is for, and its words. */
#define IMAGE_CHANNELS (NETWORK_CHANNELS > 3 ? 4 : 3)
#define IMAGE_WORDS (NETWORK_CHANNELS > 3 ? 32 : 16)

/* D of the cells of each filter: 16 bits each, the even cells in the first word, or 32 bits where they may need them. */
#if WIDE_SUMS
typedef struct {
    uint32_t cells[CELLS];
} sums_of;
#else
typedef struct {
    word fields[2];
} sums_of;
#endif

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif


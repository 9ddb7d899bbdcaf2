/* network: see network.h. Written by tinier-yolo @version@ from @source@. */
#include "network.h"

#include <string.h>

@vectors@
#if VECTORS
typedef uint8_t weight_bits; /* as simd.c reads them */
#define FOR_VECTORS(chunk, tables) , chunk, tables
#else
typedef uint32_t weight_bits; /* two words of each filter, then the next two, ...; the lowest bit first */
#define FOR_VECTORS(chunk, tables)
#endif

typedef struct {
    int32_t channels, filters, size, stride, padding;
    int32_t pool_size, pool_stride, pool_padding; /* size 0: the last layer; 1: no pool */
    int in_bits, bits;                            /* of a level of the input and output map; 0: this is the last layer */
    int32_t group;                                /* channels that a table is for: 4, or 8 */
    int32_t words;                                /* of a filter's weights */
    const weight_bits *weights;
    const uint16_t *narrow; /* limits, [filter][2^bits - 1], in the one or the other */
    const uint32_t *wide;
    const uint8_t *flips; /* what the bytes of each line of its map are xored with */
    const int32_t *base, *multipliers, *biases; /* of the last layer */
#if VECTORS
    int32_t chunk;         /* pairs of groups whose bytes cannot overflow */
    const uint8_t *tables; /* for each byte of the map, what its levels give for each 4 bits of weights */
#endif
} layer;

@defines@


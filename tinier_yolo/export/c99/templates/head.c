/* network: see network.h. Written by tinier-yolo @version@ from @source@. */
#include "network.h"

#include <string.h>

typedef struct {
    int32_t channels, filters, size, stride, padding;
    int32_t pool_size, pool_stride, pool_padding; /* size 0: the last layer; 1: no pool */
    int in_bits, bits;                            /* of a level of the input and output map; 0: this is the last layer */
    int32_t group;                                /* channels that a table is for: 4, or 8 */
    int32_t words;                                /* of a filter's weights */
    const uint32_t *weights;
    const uint16_t *narrow; /* limits, [filter][2^bits - 1], in the one or the other */
    const uint32_t *wide;
    const uint8_t *flips; /* what the bytes of each line of its map are xored with */
    const int32_t *base, *multipliers, *biases; /* of the last layer */
} layer;

@defines@


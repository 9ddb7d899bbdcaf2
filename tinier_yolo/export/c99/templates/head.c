/* network: see network.h. Written by tinier-yolo @version@ from @source@, form: @target@. */
#include "network.h"

#include <string.h>

/* Filters that stand side by side in the weights. */
#define TILE @tile@

typedef struct {
    int32_t channels, filters, size, stride, padding;
    int32_t pool_size, pool_stride, pool_padding; /* size 0: no pool */
    int in_bits, bits;                            /* of a level of the input and output map; 0: this is the last layer */
    int32_t words;                                /* of a window: @words@ */
    const @weight_type@ *weights;
    const uint16_t *narrow; /* limits, [tile][2^bits - 1][TILE], in the one or the other */
    const uint32_t *wide;
    const @flip_type@ *flips;
    const int32_t *base, *multipliers, *biases; /* of the last layer */
} layer;

@defines@


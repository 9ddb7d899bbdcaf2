/* network_boxes: see network_boxes.h. Written by tinier-yolo @version@ from @source@. */
#include "network_boxes.h"

#include <stddef.h>

#include "network.h"

#define ANCHORS @anchors@
#define CLASSES NETWORK_BOX_CLASSES
#define SOFTMAX @softmax@
#define LETTER_BOX @letter_box@

/* Arguments and sigmoids are in units of 2^-16. */
#define ONE 65536
#define SIGMOID_REST @sigmoid_rest@ /* bits between two entries */
#define SIGMOID_END (@sigmoid_end@ * (int64_t)ONE)
#define POWER_REST @power_rest@
#define EXP_END (@exp_end@ * (int64_t)ONE)
#define LOG2_E @log2_e@ /* in units of 2^-30 */
#define FAR ((int64_t)1 << 40)

@tables@

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* A value of the map in units of 2^-16. */
static int64_t argument(int32_t value) {
#if NETWORK_FRACTION_BITS <= 16
    return (int64_t)value * ((int64_t)1 << (16 - NETWORK_FRACTION_BITS));
#else
    const int64_t unit = (int64_t)1 << (NETWORK_FRACTION_BITS - 16);
    return value < 0 ? -((-(int64_t)value + unit / 2) / unit) : (value + unit / 2) / unit;
#endif
}

static int64_t sigmoid(int64_t x) {
    const int64_t cut = smaller(x < 0 ? -x : x, SIGMOID_END);
    const int64_t place = cut >> SIGMOID_REST, part = cut & (((int64_t)1 << SIGMOID_REST) - 1);
    const int64_t low = sigmoids[place], high = sigmoids[place + 1];
    const int64_t value = low + (((high - low) * part + ((int64_t)1 << (SIGMOID_REST - 1))) >> SIGMOID_REST);
    return x < 0 ? ONE - value : value;
}

/* exp(x) = mantissa * 2^(exponent - 30), the mantissa in 2^30..2^31. */
static int64_t exponential(int64_t x, int *exponent) {
    const int64_t cut = larger(smaller(x, EXP_END), -EXP_END);
    /* log2 of it, 32 added so that nothing negative is shifted, with 30 fraction bits. */
    const int64_t scaled = (cut * LOG2_E + ((int64_t)32 << 46)) >> 16;
    const int64_t fraction = scaled & (((int64_t)1 << 30) - 1);
    const int64_t place = fraction >> POWER_REST, part = fraction & (((int64_t)1 << POWER_REST) - 1);
    const int64_t low = powers[place], high = powers[place + 1];
    *exponent = (int)(scaled >> 30) - 32;
    return low + (((high - low) * part) >> POWER_REST);
}

/* Half of anchor * exp(t) cells, in units of 2^-16 of an input pixel. */
static int64_t half_side(int64_t anchor, int64_t t) {
    int exponent;
    int64_t side = exponential(t, &exponent) * anchor >> 30;
    if (exponent < 0) {
        side >>= -exponent;
    } else {
        side = side > FAR >> exponent ? FAR : side * ((int64_t)1 << exponent);
    }
    return side * NETWORK_STRIDE / 2;
}

/* An edge on the input, in units of 2^-16, as one of the image; what lies outside is moved to the border. */
static int32_t edge(int64_t place, int64_t offset, int64_t resized, int64_t side) {
    const int64_t inside = larger(0, smaller(place - offset * ONE, resized * ONE));
    return (int32_t)((inside * side + resized * (ONE / NETWORK_PIXEL / 2)) / (resized * (ONE / NETWORK_PIXEL)));
}

/* Probability of the likeliest class, in units of 2^-16. */
static int64_t classify(const int32_t *values, size_t cells, int32_t *class_id) {
    int64_t best = values[0];
    int32_t i;
    *class_id = 0;
    for (i = 1; i < CLASSES; i++) {
        if (values[(size_t)i * cells] > best) {
            best = values[(size_t)i * cells];
            *class_id = i;
        }
    }
#if SOFTMAX
    {
        int64_t sum = 0;
        const int64_t top = argument((int32_t)best);
        for (i = 0; i < CLASSES; i++) {
            int exponent;
            const int64_t mantissa = exponential(argument(values[(size_t)i * cells]) - top, &exponent);
            sum += mantissa >> -exponent;
        }
        return ((int64_t)1 << 46) / sum;
    }
#else
    return sigmoid(argument((int32_t)best));
#endif
}

static int64_t overlap(int32_t low_a, int32_t high_a, int32_t low_b, int32_t high_b) {
    return larger(0, smaller(high_a, high_b) - larger(low_a, low_b));
}

static int64_t area(const network_box *b) {
    return (int64_t)(b->right - b->left) * (b->bottom - b->top);
}

/* IoU > percent / 100. */
static int overlaps(const network_box *a, const network_box *b, int percent) {
    const int64_t both = overlap(a->left, a->right, b->left, b->right) * overlap(a->top, a->bottom, b->top, b->bottom);
    return both * 100 > (area(a) + area(b) - both) * percent;
}

/* Keep the boxes sorted, equal ones in the order of the map, and no more than there is room for. */
static int32_t insert(network_box *boxes, int32_t count, int32_t capacity, const network_box *box) {
    int32_t i;
    if (count == capacity) {
        if (box->order <= boxes[count - 1].order) {
            return count;
        }
        count--;
    }
    for (i = count; i > 0 && boxes[i - 1].order < box->order; i--) {
        boxes[i] = boxes[i - 1];
    }
    boxes[i] = *box;
    return count + 1;
}

static int32_t suppress(network_box *boxes, int32_t count, int nms) {
    int32_t kept = 0, i, j;
    for (i = 0; i < count; i++) {
        const network_box box = boxes[i];
        for (j = 0; j < kept; j++) {
            if (boxes[j].class_id == box.class_id && overlaps(&boxes[j], &box, nms)) {
                break;
            }
        }
        if (j == kept) {
            boxes[kept++] = box;
        }
    }
    return kept;
}

/* Where the image lies on the input: as network_letterbox puts it. */
typedef struct {
    int64_t width, height, left, top, image_width, image_height;
} placing;

static placing place_image(int32_t width, int32_t height, int32_t image_width, int32_t image_height) {
    placing p;
    p.width = width;
    p.height = height;
    p.image_width = image_width;
    p.image_height = image_height;
#if LETTER_BOX
    if ((int64_t)width * image_height < (int64_t)height * image_width) {
        p.height = larger(1, (int64_t)image_height * width / image_width);
    } else {
        p.width = larger(1, (int64_t)image_width * height / image_height);
    }
#endif
    p.left = (width - p.width) / 2;
    p.top = (height - p.height) / 2;
    return p;
}

/* The box of one cell and anchor; 0 if its score is too low or nothing of it lies in the image. */
static int decode(const int32_t *values, size_t cells, int32_t column, int32_t row, int anchor, int thresh,
                  const placing *p, network_box *box) {
    const int64_t x = ((int64_t)column * ONE + sigmoid(argument(values[0]))) * NETWORK_STRIDE;
    const int64_t y = ((int64_t)row * ONE + sigmoid(argument(values[cells]))) * NETWORK_STRIDE;
    const int64_t across = half_side(anchors[2 * anchor], argument(values[2 * cells]));
    const int64_t down = half_side(anchors[2 * anchor + 1], argument(values[3 * cells]));
    /* The comparison of the logits has decided; the rounding of a sigmoid shall not undo it. */
    const int64_t objectness = larger(sigmoid(argument(values[4 * cells])), ((int64_t)thresh * ONE + 99) / 100);
    const int64_t score = objectness * classify(values + 5 * cells, cells, &box->class_id);
    if (score * 100 < thresh * ((int64_t)1 << 32)) {
        return 0;
    }
    box->score = (int32_t)((score + (1 << 16)) >> 17);
    box->order = SOFTMAX && CLASSES == 1 ? values[4 * cells] : (int32_t)(score >> 2);
    box->left = edge(x - across, p->left, p->width, p->image_width);
    box->right = edge(x + across, p->left, p->width, p->image_width);
    box->top = edge(y - down, p->top, p->height, p->image_height);
    box->bottom = edge(y + down, p->top, p->height, p->image_height);
    return box->right > box->left && box->bottom > box->top;
}

int32_t network_boxes(const int32_t *map, int32_t width, int32_t height, int32_t image_width, int32_t image_height,
                      int thresh, int nms, network_box *boxes, int32_t capacity) {
    const int32_t columns = NETWORK_OUTPUT_WIDTH(width), rows = NETWORK_OUTPUT_HEIGHT(height);
    const size_t cells = (size_t)columns * (size_t)rows;
    int32_t count = 0, row, column;
    int anchor;
    placing p;
    if (map == NULL || boxes == NULL || capacity < 1 || thresh < 0 || thresh > 100 || nms < 0 || nms > 100) {
        return NETWORK_BAD_ARGUMENT;
    }
    if (network_arena_bytes(width, height) == 0 || image_width < 1 || image_height < 1 || image_width > 32767 ||
        image_height > 32767) {
        return NETWORK_BAD_SIZE;
    }
    if (thresh == 100) {
        return 0;
    }
    p = place_image(width, height, image_width, image_height);
    for (anchor = 0; anchor < ANCHORS; anchor++) {
        const int32_t *values = map + (size_t)anchor * (5 + CLASSES) * cells;
        for (row = 0; row < rows; row++) {
            for (column = 0; column < columns; column++, values++) {
                network_box box;
                if (values[4 * cells] >= logits[thresh] && decode(values, cells, column, row, anchor, thresh, &p, &box)) {
                    count = insert(boxes, count, capacity, &box);
                }
            }
        }
    }
    return suppress(boxes, count, nms);
}

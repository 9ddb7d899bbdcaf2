/* A picture to the network's input in the arithmetic of cv2.INTER_LINEAR, as detection/letterbox.py has it: the bytes
 * are the same. */
#include "network.h"

#define GREY 128
#define MAX_IMAGE_SIDE 16384
#define ONE 2048 /* a weight of 1 */

/* Where a pixel of the input lies between two of the picture, along one side. */
typedef struct {
    int32_t first, second; /* those two, inside the picture */
    int32_t before, after; /* their weights in units of 1 / ONE */
} between;

/* n / 2^places, rounded to the nearest whole number, halves to the even one. */
static int32_t rounded(int64_t n, int places) {
    const int64_t whole = n >> places, rest = n & (((int64_t)1 << places) - 1), half = ((int64_t)1 << places) / 2;
    return (int32_t)(whole + (places > 0 && (rest > half || (rest == half && (whole & 1) != 0))));
}

static int32_t within(int32_t place, int32_t side) {
    return place < 0 ? 0 : place >= side ? side - 1 : place;
}

/* OpenCV computes (i + 0.5) * side / resized - 0.5 and keeps it in 24 bits, as a binary32 number does; so does this,
 * from the fraction ((2 i + 1) side - resized) / (2 resized). */
static between locate(int32_t i, int32_t side, int32_t resized) {
    const int64_t divisor = 2 * (int64_t)resized;
    int64_t dividend = (2 * (int64_t)i + 1) * side - resized, quotient, rest, part;
    const int negative = dividend < 0;
    int32_t first;
    int places = 0; /* fraction bits */
    between b;
    dividend = negative ? -dividend : dividend;
    while (dividend != 0 && places < 40 && (dividend << 1) >> 24 < divisor) {
        dividend <<= 1;
        places++;
    }
    quotient = dividend / divisor;
    rest = dividend % divisor;
    quotient += 2 * rest > divisor || (2 * rest == divisor && (quotient & 1) != 0);
    first = (int32_t)(quotient >> places);
    part = quotient & (((int64_t)1 << places) - 1);
    if (negative && quotient != 0) {
        first = -1; /* in -0.5..0: between the pixel before the first and the first */
        part = ((int64_t)1 << places) - quotient;
    }
    b.after = rounded(part * ONE, places);
    b.before = rounded((((int64_t)1 << places) - part) * ONE, places);
    b.first = within(first, side);
    b.second = within(first + 1, side);
    return b;
}

typedef struct {
    const uint8_t *rgba;
    int32_t image_width, image_height, width, height;
    between *columns;
    signed_words *rows[2];
    int32_t rows_of[2]; /* rows of the picture that they hold, -1 for none */
} resizing;

static void locate_columns(resizing *r) {
    int32_t x;
    for (x = 0; x < r->width; x++) {
        between b = locate(x, r->image_width, r->width);
        if (b.first == b.second) { /* at the borders the one pixel counts whole */
            b.before = ONE;
            b.after = 0;
        }
        r->columns[x] = b;
    }
}

INLINE signed_words pixel(const uint8_t *p) {
    return (signed_words){p[0], p[1], p[2], 0};
}

/* A row of the picture at the input's width, in units of 1 / ONE. */
static const signed_words *stretched(resizing *r, int32_t y, int slot) {
    const uint8_t *from = r->rgba + (size_t)y * (size_t)r->image_width * 4;
    int32_t x;
    if (r->rows_of[slot] != y) {
        for (x = 0; x < r->width; x++) {
            const between b = r->columns[x];
            r->rows[slot][x] = pixel(from + 4 * b.first) * b.before + pixel(from + 4 * b.second) * b.after;
        }
        r->rows_of[slot] = y;
    }
    return r->rows[slot];
}

static void store(uint8_t *to, signed_words value) {
    to[0] = (uint8_t)value[0];
    to[1] = (uint8_t)value[1];
    to[2] = (uint8_t)value[2];
    to[3] = 0;
}

static void resize_row(resizing *r, int32_t y, uint8_t *to) {
    const between v = locate(y, r->image_height, r->height);
    const signed_words *above = stretched(r, v.first, v.first & 1), *below = stretched(r, v.second, v.second & 1);
    int32_t x;
    for (x = 0; x < r->width; x++) {
        store(to + 4 * x, (((v.before * (above[x] >> 4)) >> 16) + ((v.after * (below[x] >> 4)) >> 16) + 2) >> 2);
    }
}

/* Exactly half the size: OpenCV takes the mean of each four. */
static void halve_row(const resizing *r, int32_t y, uint8_t *to) {
    const size_t pitch = (size_t)r->image_width * 4;
    const uint8_t *above = r->rgba + 2 * (size_t)y * pitch, *below = above + pitch;
    int32_t x;
    for (x = 0; x < r->width; x++, above += 8, below += 8) {
        store(to + 4 * x, (pixel(above) + pixel(above + 4) + pixel(below) + pixel(below + 4) + 2) >> 2);
    }
}

static void copy_row(const resizing *r, int32_t y, uint8_t *to) {
    const uint8_t *from = r->rgba + (size_t)y * (size_t)r->image_width * 4;
    int32_t x;
    for (x = 0; x < r->width; x++) {
        store(to + 4 * x, pixel(from + 4 * x));
    }
}

static void fit(const network *n, resizing *r) {
    r->width = n->width;
    r->height = n->height;
    if (n->letter_box == 0) {
        return;
    }
    if ((int64_t)n->width * r->image_height < (int64_t)n->height * r->image_width) {
        r->height = (int32_t)((int64_t)r->image_height * n->width / r->image_width);
        r->height = r->height < 1 ? 1 : r->height;
    } else {
        r->width = (int32_t)((int64_t)r->image_width * n->height / r->image_height);
        r->width = r->width < 1 ? 1 : r->width;
    }
}

static void fill_grey(const network *n) {
    uint32_t *to = (uint32_t *)(void *)n->input, *end = to + (size_t)n->width * (size_t)n->height;
    while (to < end) {
        *to++ = GREY * 0x010101u;
    }
}

/* 0, or -1 for a picture of a bad size. */
int letterbox(network *n, const uint8_t *rgba, int32_t image_width, int32_t image_height) {
    resizing r = {rgba, image_width, image_height, 0, 0, NULL, {NULL, NULL}, {-1, -1}};
    int32_t y, left, top;
    if (image_width < 1 || image_height < 1 || image_width > MAX_IMAGE_SIDE || image_height > MAX_IMAGE_SIDE) {
        return -1;
    }
    fit(n, &r);
    left = (n->width - r.width) / 2;
    top = (n->height - r.height) / 2;
    r.columns = (between *)(void *)n->scratch;
    r.rows[0] = (signed_words *)(void *)(n->scratch + (size_t)n->width * 16);
    r.rows[1] = r.rows[0] + n->width;
    fill_grey(n);
    locate_columns(&r);
    for (y = 0; y < r.height; y++) {
        uint8_t *to = n->input + ((size_t)(top + y) * (size_t)n->width + (size_t)left) * 4;
        if (r.width == image_width && r.height == image_height) {
            copy_row(&r, y, to);
        } else if (2 * r.width == image_width && 2 * r.height == image_height) {
            halve_row(&r, y, to);
        } else {
            resize_row(&r, y, to);
        }
    }
    return 0;
}

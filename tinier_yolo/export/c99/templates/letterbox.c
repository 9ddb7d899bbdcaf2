/* network_letterbox: see network_letterbox.h. Written by tinier-yolo @version@. */
#include "network_letterbox.h"

#include <stddef.h>
#include <string.h>

#include "network.h"

#define CHANNELS NETWORK_CHANNELS
#define LETTER_BOX @letter_box@
#define GREY @grey@
#define MAX_SIDE 16384
#define ONE 2048 /* a weight of 1 */

/* Where a pixel of the output lies between two of the image, along one side. */
typedef struct {
    int32_t first;        /* the pixel before it; -1 at the upper border */
    int32_t before, after; /* weights of that one and the next, in units of 1 / ONE */
} between;

/* n / 2^places, rounded to the nearest whole number, halves to the even one. */
static int64_t rounded(int64_t n, int places) {
    int64_t whole, rest, half;
    if (places <= 0) {
        return n;
    }
    whole = n >> places;
    rest = n & (((int64_t)1 << places) - 1);
    half = (int64_t)1 << (places - 1);
    return whole + (rest > half || (rest == half && (whole & 1) != 0));
}

/* OpenCV computes (i + 0.5) * side / resized - 0.5 and keeps it in 24 bits, as a binary32 number does; so does this,
 * from the fraction ((2 i + 1) side - resized) / (2 resized). */
static between locate(int32_t i, int32_t side, int32_t resized) {
    const int64_t divisor = 2 * (int64_t)resized;
    int64_t dividend = (2 * (int64_t)i + 1) * side - resized, quotient, rest, part;
    const int negative = dividend < 0;
    int places = 0; /* fraction bits */
    between b;
    if (negative) {
        dividend = -dividend;
    }
    while (dividend != 0 && places < 40 && (dividend << 1) >> 24 < divisor) {
        dividend <<= 1;
        places++;
    }
    while (dividend >> 24 >= divisor) {
        places--; /* not reached for sides up to MAX_SIDE, whose places are whole with bits to spare */
        dividend >>= 1;
    }
    quotient = dividend / divisor;
    rest = dividend % divisor;
    quotient += 2 * rest > divisor || (2 * rest == divisor && (quotient & 1) != 0);
    b.first = (int32_t)(quotient >> places);
    part = quotient & (((int64_t)1 << places) - 1);
    if (negative && quotient != 0) {
        /* In -0.5..0: between the pixel before the first and the first. */
        b.first = -1;
        part = ((int64_t)1 << places) - quotient;
    }
    b.after = (int32_t)rounded(part * ONE, places);
    b.before = (int32_t)rounded((((int64_t)1 << places) - part) * ONE, places);
    return b;
}

static int32_t within(int32_t place, int32_t side) {
    return place < 0 ? 0 : place >= side ? side - 1 : place;
}

static void resize_row(const uint8_t *image, int32_t image_width, int32_t image_height, int32_t width, int32_t height,
                       int32_t y, uint8_t *row) {
    const between v = locate(y, image_height, height);
    const size_t pitch = (size_t)image_width * CHANNELS;
    const uint8_t *above = image + (size_t)within(v.first, image_height) * pitch;
    const uint8_t *below = image + (size_t)within(v.first + 1, image_height) * pitch;
    int32_t x, c;
    for (x = 0; x < width; x++) {
        between h = locate(x, image_width, width);
        size_t left, right;
        if (h.first < 0 || h.first >= image_width - 1) {
            h.first = within(h.first, image_width);
            h.before = ONE;
            h.after = 0;
        }
        left = (size_t)h.first * CHANNELS;
        right = (size_t)within(h.first + 1, image_width) * CHANNELS;
        for (c = 0; c < CHANNELS; c++) {
            const int32_t high = above[left + (size_t)c] * h.before + above[right + (size_t)c] * h.after;
            const int32_t low = below[left + (size_t)c] * h.before + below[right + (size_t)c] * h.after;
            const int32_t sum = ((v.before * (high >> 4)) >> 16) + ((v.after * (low >> 4)) >> 16);
            row[x * CHANNELS + c] = (uint8_t)((sum + 2) >> 2);
        }
    }
}

/* Exactly half the size: OpenCV takes the mean of each four. */
static void halve_row(const uint8_t *image, int32_t image_width, int32_t width, int32_t y, uint8_t *row) {
    const size_t pitch = (size_t)image_width * CHANNELS;
    const uint8_t *above = image + 2 * (size_t)y * pitch, *below = above + pitch;
    int32_t x, c;
    for (x = 0; x < width; x++, above += 2 * CHANNELS, below += 2 * CHANNELS) {
        for (c = 0; c < CHANNELS; c++) {
            row[x * CHANNELS + c] = (uint8_t)((above[c] + above[c + CHANNELS] + below[c] + below[c + CHANNELS] + 2) >> 2);
        }
    }
}

int network_letterbox_row(const uint8_t *image, int32_t image_width, int32_t image_height, int32_t width, int32_t height,
                          int32_t y, uint8_t *row) {
    int32_t inner_width = width, inner_height = height, left, top;
    if (image == NULL || row == NULL || y < 0 || y >= height) {
        return NETWORK_BAD_ARGUMENT;
    }
    if (image_width < 1 || image_height < 1 || width < 1 || image_width > MAX_SIDE || image_height > MAX_SIDE ||
        width > MAX_SIDE || height > MAX_SIDE) {
        return NETWORK_BAD_SIZE;
    }
#if LETTER_BOX
    if ((int64_t)width * image_height < (int64_t)height * image_width) {
        inner_height = (int32_t)((int64_t)image_height * width / image_width);
        inner_height = inner_height < 1 ? 1 : inner_height;
    } else {
        inner_width = (int32_t)((int64_t)image_width * height / image_height);
        inner_width = inner_width < 1 ? 1 : inner_width;
    }
#endif
    left = (width - inner_width) / 2;
    top = (height - inner_height) / 2;
    memset(row, GREY, (size_t)width * CHANNELS);
    y -= top;
    row += left * CHANNELS;
    if (y < 0 || y >= inner_height) {
        return NETWORK_OK;
    }
    if (inner_width == image_width && inner_height == image_height) {
        memcpy(row, image + (size_t)y * (size_t)image_width * CHANNELS, (size_t)image_width * CHANNELS);
    } else if (2 * inner_width == image_width && 2 * inner_height == image_height) {
        halve_row(image, image_width, inner_width, y, row);
    } else {
        resize_row(image, image_width, image_height, inner_width, inner_height, y, row);
    }
    return NETWORK_OK;
}

int network_letterbox(const uint8_t *image, int32_t image_width, int32_t image_height, int32_t width, int32_t height,
                      uint8_t *input) {
    int status = input == NULL || height < 1 ? NETWORK_BAD_ARGUMENT : NETWORK_OK;
    int32_t y;
    for (y = 0; status == NETWORK_OK && y < height; y++) {
        status = network_letterbox_row(image, image_width, image_height, width, height, y,
                                       input + (size_t)y * (size_t)(width < 1 ? 1 : width) * CHANNELS);
    }
    return status;
}

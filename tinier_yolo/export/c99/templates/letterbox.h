/* network_letterbox: an image of any size -> the input of network.h, row by row. Written by tinier-yolo @version@.
 *
 * The arithmetic is that of cv2.resize with INTER_LINEAR for bytes (OpenCV 4), which the Python detector uses, in
 * integers: the same bytes come out.
 */
#ifndef NETWORK_LETTERBOX_H
#define NETWORK_LETTERBOX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Make one row of the input.
 *
 *   image             bytes (image_height, image_width, @channels@); a side is 1..16384
 *   width, height     of the network's input, 1..16384
 *   y                 the row, 0..height - 1
 *   row               where it goes: width * @channels@ bytes, for network_row
 *
 * Returns 0, or a negative network_status.
 */
int network_letterbox_row(const uint8_t *image, int32_t image_width, int32_t image_height, int32_t width, int32_t height,
                          int32_t y, uint8_t *row);

/* The whole input: bytes (height, width, @channels@). */
int network_letterbox(const uint8_t *image, int32_t image_width, int32_t image_height, int32_t width, int32_t height,
                      uint8_t *input);

#ifdef __cplusplus
}
#endif

#endif

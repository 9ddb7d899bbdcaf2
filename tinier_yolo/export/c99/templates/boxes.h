/* network_boxes: the output map of network.h -> boxes, in integers alone. Written by tinier-yolo @version@ from @source@.
 *
 * Sigmoid and exp come from tables. By enumeration of all arguments a sigmoid is off by at most @sigmoid_error@, an exp
 * by at most @exp_error@ of its value.
 */
#ifndef NETWORK_BOXES_H
#define NETWORK_BOXES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NETWORK_BOX_CLASSES @classes@
#define NETWORK_PIXEL 256 /* the unit of a box: 256 is a pixel */

typedef struct {
    int32_t left, top, right, bottom; /* edges in the image, in units of 1 / NETWORK_PIXEL, inside it */
    int32_t score;                    /* 0..32768: 0..1 */
    int32_t class_id;
    int32_t order; /* boxes are sorted by it; of more digits than the score */
} network_box;

/* The boxes of an output map, highest score first, after non-maximum suppression.
 *
 *   map                  int32 (@outputs@, NETWORK_OUTPUT_HEIGHT(height), NETWORK_OUTPUT_WIDTH(width)), as network_run
 *                        writes it
 *   width, height        of the network's input
 *   image_width, ...     of the image that was put into it (network_letterbox), 1..32767
 *   thresh, nms          percent: the least score; of two boxes of a class whose IoU is above it the lower one goes
 *   boxes, capacity      where they go, and how many there is room for; of more before suppression the best are kept
 *
 * Returns how many there are, or a negative network_status.
 */
int32_t network_boxes(const int32_t *map, int32_t width, int32_t height, int32_t image_width, int32_t image_height,
                      int thresh, int nms, network_box *boxes, int32_t capacity);

#ifdef __cplusplus
}
#endif

#endif

/* Vectors of 16 bytes in the language of GCC and Clang, which become SIMD128 in WebAssembly. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stddef.h>
#include <stdint.h>

typedef uint8_t bytes __attribute__((vector_size(16)));
typedef uint16_t halves __attribute__((vector_size(16)));
typedef int16_t signed_halves __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));
typedef int32_t signed_words __attribute__((vector_size(16)));
typedef bytes loose_bytes __attribute__((aligned(1), may_alias));
typedef halves loose_halves __attribute__((aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))

INLINE bytes splat(uint8_t value) {
    return (bytes){0} + value;
}

/* Byte i of the result is byte index[i] of the table; an index is below 16, so that the relaxed instruction, one of the
 * processor's instead of two or three, gives the same as the strict one. Where there is none, page.js puts the strict
 * one in its place. */
INLINE bytes swizzle(bytes table, bytes index) {
#if defined(__wasm_simd128__)
    typedef signed char signed_bytes __attribute__((vector_size(16)));
    return (bytes)__builtin_wasm_relaxed_swizzle_i8x16((signed_bytes)table, (signed_bytes)index);
#elif defined(__GNUC__) && !defined(__clang__)
    return __builtin_shuffle(table, index);
#else
    bytes result;
    int i;
    for (i = 0; i < 16; i++) {
        result[i] = table[index[i]];
    }
    return result;
#endif
}

/* The same where an index of 16 gives 0. */
INLINE bytes picked(bytes table, bytes index) {
    return swizzle(table, index & 15) & (bytes)(index < 16);
}

INLINE halves low_halves(bytes b) {
    return (halves)__builtin_shufflevector(b, (bytes){0}, 0, 16, 1, 16, 2, 16, 3, 16, 4, 16, 5, 16, 6, 16, 7, 16);
}

INLINE halves high_halves(bytes b) {
    return (halves)__builtin_shufflevector(b, (bytes){0}, 8, 16, 9, 16, 10, 16, 11, 16, 12, 16, 13, 16, 14, 16, 15, 16);
}

/* The low bytes of 16 halves. */
INLINE bytes narrowed(halves a, halves b) {
    return __builtin_shufflevector((bytes)a, (bytes)b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

INLINE bytes larger_bytes(bytes a, bytes b) {
    const bytes first = (bytes)(a > b);
    return (a & first) | (b & ~first);
}

#endif

/* ------------------------------------------------------------------------------------------------------------------
 * Vectors: all that depends on the machine. LANES bytes, or half as many 16-bit numbers; VECTORS is 0 where none of
 * these sets is there, and the portable form is compiled.
 */
#if defined(__AVX2__)
#define VECTORS 1
#define LANES 32
#include <immintrin.h>
typedef __m256i vec;
#define V_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define V_STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define V_TABLE(p) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(p))) /* 16 bytes, twice */
#define V_LOOK(table, index) _mm256_shuffle_epi8(table, index)
#define V_BYTES(p) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p))) /* as 16-bit numbers */
#define V_SET16(n) _mm256_set1_epi16((short)(n))
#define V_ADD8(a, b) _mm256_add_epi8(a, b)
#define V_ADD16(a, b) _mm256_add_epi16(a, b)
#define V_SUB16(a, b) _mm256_sub_epi16(a, b)
#define V_AND(a, b) _mm256_and_si256(a, b)
#define V_OR(a, b) _mm256_or_si256(a, b)
#define V_XOR(a, b) _mm256_xor_si256(a, b)
#define V_LEFT16(v, n) _mm256_slli_epi16(v, n)
#define V_RIGHT16(v, n) _mm256_srli_epi16(v, n)
#define V_LESS16(a, b) _mm256_cmpgt_epi16(b, a)
#define V_RIGHT32(v, n) _mm256_srli_epi32(v, n)
/* The first one of each four bytes, LANES / 4 in all. */
static inline void store_firsts(uint8_t *to, vec v) {
    const vec firsts = _mm256_shuffle_epi8(v, _mm256_set1_epi32(0x0c080400));
    const int32_t low = _mm256_cvtsi256_si32(firsts), high = _mm256_extract_epi32(firsts, 4);
    memcpy(to, &low, 4);
    memcpy(to + 4, &high, 4);
}
#elif defined(__SSSE3__)
#define VECTORS 1
#define LANES 16
#include <tmmintrin.h>
typedef __m128i vec;
#define V_LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define V_STORE(p, v) _mm_storeu_si128((__m128i *)(void *)(p), v)
#define V_TABLE(p) V_LOAD(p)
#define V_LOOK(table, index) _mm_shuffle_epi8(table, index)
#define V_BYTES(p) _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)(p)), _mm_setzero_si128())
#define V_SET16(n) _mm_set1_epi16((short)(n))
#define V_ADD8(a, b) _mm_add_epi8(a, b)
#define V_ADD16(a, b) _mm_add_epi16(a, b)
#define V_SUB16(a, b) _mm_sub_epi16(a, b)
#define V_AND(a, b) _mm_and_si128(a, b)
#define V_OR(a, b) _mm_or_si128(a, b)
#define V_XOR(a, b) _mm_xor_si128(a, b)
#define V_LEFT16(v, n) _mm_slli_epi16(v, n)
#define V_RIGHT16(v, n) _mm_srli_epi16(v, n)
#define V_LESS16(a, b) _mm_cmplt_epi16(a, b)
#define V_RIGHT32(v, n) _mm_srli_epi32(v, n)
static inline void store_firsts(uint8_t *to, vec v) {
    const int32_t firsts = _mm_cvtsi128_si32(_mm_shuffle_epi8(v, _mm_set1_epi32(0x0c080400)));
    memcpy(to, &firsts, 4);
}
#elif defined(__ARM_NEON) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VECTORS 1
#define LANES 16
#include <arm_neon.h>
typedef uint8x16_t vec;
#define V_16(v) vreinterpretq_u16_u8(v)
#define V_8(v) vreinterpretq_u8_u16(v)
#define V_LOAD(p) vld1q_u8(p)
#define V_STORE(p, v) vst1q_u8((uint8_t *)(void *)(p), v)
#define V_TABLE(p) vld1q_u8(p)
#if defined(__aarch64__)
#define V_LOOK(table, index) vqtbl1q_u8(table, index)
#else
static inline vec look_up_bytes(vec table, vec index) {
    const uint8x8x2_t halves = {{vget_low_u8(table), vget_high_u8(table)}};
    return vcombine_u8(vtbl2_u8(halves, vget_low_u8(index)), vtbl2_u8(halves, vget_high_u8(index)));
}
#define V_LOOK(table, index) look_up_bytes(table, index)
#endif
#define V_BYTES(p) V_8(vmovl_u8(vld1_u8(p)))
#define V_SET16(n) V_8(vdupq_n_u16((uint16_t)(n)))
#define V_ADD8(a, b) vaddq_u8(a, b)
#define V_ADD16(a, b) V_8(vaddq_u16(V_16(a), V_16(b)))
#define V_SUB16(a, b) V_8(vsubq_u16(V_16(a), V_16(b)))
#define V_AND(a, b) vandq_u8(a, b)
#define V_OR(a, b) vorrq_u8(a, b)
#define V_XOR(a, b) veorq_u8(a, b)
#define V_LEFT16(v, n) V_8(vshlq_n_u16(V_16(v), n))
#define V_RIGHT16(v, n) V_8(vshrq_n_u16(V_16(v), n))
#define V_LESS16(a, b) V_8(vcltq_u16(V_16(a), V_16(b)))
#define V_RIGHT32(v, n) vreinterpretq_u8_u32(vshrq_n_u32(vreinterpretq_u32_u8(v), n))
static inline void store_firsts(uint8_t *to, vec v) {
    const uint16x4_t halves = vmovn_u32(vreinterpretq_u32_u8(v));
    const uint8x8_t firsts = vmovn_u16(vcombine_u16(halves, halves));
    const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(firsts), 0);
    memcpy(to, &bytes, 4);
}
/* 16 pixels of three bytes to three planes. */
static inline void split_pixels(const uint8_t *pixels, uint8_t *r, uint8_t *g, uint8_t *b) {
    const uint8x16x3_t split = vld3q_u8(pixels);
    vst1q_u8(r, split.val[0]);
    vst1q_u8(g, split.val[1]);
    vst1q_u8(b, split.val[2]);
}
#elif defined(__wasm_simd128__)
#define VECTORS 1
#define LANES 16
#include <wasm_simd128.h>
typedef v128_t vec;
#define V_LOAD(p) wasm_v128_load(p)
#define V_STORE(p, v) wasm_v128_store(p, v)
#define V_TABLE(p) wasm_v128_load(p)
#define V_LOOK(table, index) wasm_i8x16_swizzle(table, index)
#define V_BYTES(p) wasm_u16x8_load8x8(p)
#define V_SET16(n) wasm_i16x8_splat((short)(n))
#define V_ADD8(a, b) wasm_i8x16_add(a, b)
#define V_ADD16(a, b) wasm_i16x8_add(a, b)
#define V_SUB16(a, b) wasm_i16x8_sub(a, b)
#define V_AND(a, b) wasm_v128_and(a, b)
#define V_OR(a, b) wasm_v128_or(a, b)
#define V_XOR(a, b) wasm_v128_xor(a, b)
#define V_LEFT16(v, n) wasm_i16x8_shl(v, n)
#define V_RIGHT16(v, n) wasm_u16x8_shr(v, n)
#define V_LESS16(a, b) wasm_i16x8_lt(a, b)
#define V_RIGHT32(v, n) wasm_u32x4_shr(v, n)
static inline void store_firsts(uint8_t *to, vec v) {
    const vec firsts = wasm_i8x16_swizzle(v, wasm_i32x4_splat(0x0c080400));
    wasm_v128_store32_lane(to, firsts, 0);
}
static inline void split_pixels(const uint8_t *pixels, uint8_t *r, uint8_t *g, uint8_t *b) {
    const vec p0 = V_LOAD(pixels), p1 = V_LOAD(pixels + 16), p2 = V_LOAD(pixels + 32);
    const vec places = wasm_i8x16_make(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45);
    uint8_t *const to[3] = {r, g, b};
    int c;
    for (c = 0; c < 3; c++) { /* beyond a vector's end a swizzle gives 0 */
        const vec from = wasm_i8x16_add(places, wasm_i8x16_splat((int8_t)c));
        const vec first = wasm_i8x16_swizzle(p0, from);
        const vec second = wasm_i8x16_swizzle(p1, wasm_i8x16_sub(from, wasm_i8x16_splat(16)));
        const vec third = wasm_i8x16_swizzle(p2, wasm_i8x16_sub(from, wasm_i8x16_splat(32)));
        V_STORE(to[c], V_OR(V_OR(first, second), third));
    }
}
#else
#define VECTORS 0
#endif

#if defined(__AVX2__) || defined(__SSSE3__)
/* Bytes of p from these places; 0 for a place that is not in it. */
static inline __m128i picked(__m128i p, __m128i from) {
    return _mm_shuffle_epi8(p, _mm_adds_epu8(from, _mm_set1_epi8(0x70)));
}
static inline void split_pixels(const uint8_t *pixels, uint8_t *r, uint8_t *g, uint8_t *b) {
    const __m128i p0 = _mm_loadu_si128((const __m128i *)(const void *)pixels);
    const __m128i p1 = _mm_loadu_si128((const __m128i *)(const void *)(pixels + 16));
    const __m128i p2 = _mm_loadu_si128((const __m128i *)(const void *)(pixels + 32));
    const __m128i places = _mm_setr_epi8(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45);
    uint8_t *const to[3] = {r, g, b};
    int c;
    for (c = 0; c < 3; c++) {
        const __m128i from = _mm_add_epi8(places, _mm_set1_epi8((char)c));
        const __m128i first = picked(p0, from), second = picked(p1, _mm_sub_epi8(from, _mm_set1_epi8(16)));
        const __m128i third = picked(p2, _mm_sub_epi8(from, _mm_set1_epi8(32)));
        _mm_storeu_si128((__m128i *)(void *)to[c], _mm_or_si128(_mm_or_si128(first, second), third));
    }
}
#endif

/* Filters that one pass of the adder takes. A compiler makes vectors of eight; without vector registers one filter's
 * counters fit the ordinary ones. */
#ifndef LANES
#if defined(__x86_64__) || defined(__aarch64__) || defined(_M_X64) || defined(__wasm_simd128__)
#define LANES TILE
#else
#define LANES 1
#endif
#endif

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

